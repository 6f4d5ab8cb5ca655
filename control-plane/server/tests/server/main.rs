//! The control plane over real sockets: services, discovery, durability.
#![cfg(test)]

mod answering;
mod apply;
mod content;
mod crew;
mod crowd;
mod crud;
mod durability;
mod field_masks;
mod follower;
mod opening;
mod plane;
mod rest_v2;
mod resuming;
mod rollout;
mod services;
mod status;
mod subscription;
mod wire_size;
