//! The control plane over real sockets: services, discovery, durability.

mod answering;
mod apply;
mod content;
mod crud;
mod durability;
mod follower;
mod opening;
mod plane;
mod resuming;
mod services;
mod status;
mod wire_size;
