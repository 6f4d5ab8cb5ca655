//! Both sides of a connection: against each other, against hyper, and byte by byte.
#![cfg(test)]

mod http1 {
    mod exchange;
}
