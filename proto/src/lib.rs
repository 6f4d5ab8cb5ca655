//! The wire contract of TyrScale: package `tyrscale.v1`.
//!
//! The `.proto` files beside this crate are the source; they are compiled by `build.rs` with a compiler
//! written in Rust, so building needs no `protoc`.

mod shown;

/// Messages, clients and servers of package `tyrscale.v1`.
pub mod v1 {
    tonic::include_proto!("tyrscale.v1");
}

/// The encoded `FileDescriptorSet` of the package and its imports, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tyrscale.v1.bin"));
