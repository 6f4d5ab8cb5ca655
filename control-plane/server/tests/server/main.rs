//! The control plane over real sockets: services, discovery, durability.
#![cfg(test)]

mod access;
mod answering;
mod apply;
mod certificates;
mod content;
mod coordination;
mod crew;
mod crowd;
mod crud;
mod damage;
mod durability;
mod field_masks;
mod follower;
mod guarded;
mod harm;
mod history;
mod managers;
mod opening;
mod plane;
mod program;
mod recovery;
mod reporter;
mod rest_access;
mod rest_v2;
mod resuming;
mod rollout;
mod runs;
mod scopes;
mod secrets;
mod services;
mod status;
mod subscription;
mod telemetry;
mod weights;
mod wire_size;
