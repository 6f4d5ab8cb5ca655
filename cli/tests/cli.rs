//! `tyrctl` as people use it: the program itself, against real services on free ports.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

#[path = "cli/apply.rs"]
mod apply;
#[path = "cli/fields.rs"]
mod fields;
#[path = "cli/fleet.rs"]
mod fleet;
#[path = "cli/harness.rs"]
mod harness;
#[path = "cli/measured.rs"]
mod measured;
#[path = "cli/poisoned.rs"]
mod poisoned;
#[path = "cli/processes.rs"]
mod processes;
#[path = "cli/recommended.rs"]
mod recommended;
#[path = "cli/resources.rs"]
mod resources;
#[path = "cli/revisions.rs"]
mod revisions;
#[path = "cli/rollout.rs"]
mod rollout;
#[path = "cli/secrets.rs"]
mod secrets;
#[path = "cli/selecting.rs"]
mod selecting;
#[path = "cli/store.rs"]
mod store;
#[path = "cli/traffic.rs"]
mod traffic;
#[path = "cli/up.rs"]
mod up;
