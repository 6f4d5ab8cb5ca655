//! The exporter over real sockets: simulated nodes, and a control plane that says what the test says.
#![cfg(test)]

mod alone;
mod killed;
mod measuring;
mod plane;
mod running;
