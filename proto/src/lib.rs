//! The wire contract of TyrScale: package `tyrscale.v1`.
//!
//! The `.proto` files beside this crate are the source; they are compiled by `build.rs` with a compiler
//! written in Rust, so building needs no `protoc`.

/// Messages, clients and servers of package `tyrscale.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::missing_errors_doc,
    clippy::large_futures,
    clippy::use_self,
    clippy::or_fun_call,
    clippy::too_many_lines,
    clippy::semicolon_if_nothing_returned,
    clippy::excessive_nesting,
    clippy::struct_excessive_bools,
    rustdoc::all,
    reason = "generated from the protos, whose own comments are the documentation"
)]
pub mod v1 {
    tonic::include_proto!("tyrscale.v1");
}

/// The encoded `FileDescriptorSet` of the package and its imports, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tyrscale.v1.bin"));
