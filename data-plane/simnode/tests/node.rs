//! The node over real sockets.
#![cfg(test)]

mod node {
    mod answers;
    mod caller;
    mod load;
    mod wire;
}
