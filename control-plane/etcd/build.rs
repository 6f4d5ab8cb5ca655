//! Compiles the proto with protox, so no `protoc` is needed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=etcdserverpb");
    let descriptors = protox::compile(["etcdserverpb/rpc.proto"], ["."])?;
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
