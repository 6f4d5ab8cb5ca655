//! Strategies, guards and what both do over time.

#![cfg(test)]

mod guards;
mod histories;
mod simulation;
mod strategies;
mod world;

use tyrscale_model::UpstreamId;

/// The id of the upstream of this number.
fn id(number: usize) -> UpstreamId {
    format!("00000000-0000-4000-8000-{number:012}").parse().unwrap()
}
