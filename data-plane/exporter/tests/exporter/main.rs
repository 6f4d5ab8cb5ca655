//! The exporter over real sockets: simulated nodes, and a control plane that says what the test says.
#![cfg(test)]

mod alone;
mod measuring;
mod plane;
