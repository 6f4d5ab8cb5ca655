//! The store in a real etcd cluster. Needs the program `etcd` on the path.
#![cfg(test)]

mod cluster;
mod failing;
mod moving;
mod sharing;
