//! Both sides of a connection: against each other, against hyper, and byte by byte.
#![cfg(test)]

mod http1 {
    mod against_hyper;
    mod bytes;
    mod closing;
    mod exchange;
    mod generate;
    mod harness;
    mod refusals;
    mod timeouts;
    mod upstream;
}
