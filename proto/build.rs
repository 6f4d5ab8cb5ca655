//! Compiles the protos with protox, so no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: &[&str] = &[
    "tyrscale/v1/common.proto",
    "tyrscale/v1/resources.proto",
    "tyrscale/v1/network_service.proto",
    "tyrscale/v1/secret_service.proto",
    "tyrscale/v1/rpc_service.proto",
    "tyrscale/v1/route_service.proto",
    "tyrscale/v1/upstream_service.proto",
    "tyrscale/v1/recommendation_service.proto",
    "tyrscale/v1/recommendation_run_service.proto",
    "tyrscale/v1/plugin_service.proto",
    "tyrscale/v1/rollout.proto",
    "tyrscale/v1/configuration_service.proto",
    "tyrscale/v1/discovery_service.proto",
    "tyrscale/v1/status_service.proto",
    "tyrscale/v1/access_service.proto",
    "tyrscale/v1/telemetry_service.proto",
    "tyrscale/v1/coordination_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=tyrscale");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = protox::Compiler::new(["."])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES)?
        .file_descriptor_set();
    fs::write(out.join("tyrscale.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .btree_map(".")
        .bytes(".")
        .skip_debug(["tyrscale.v1.Secret", "tyrscale.v1.DiscoveryResource"])
        .compile_fds(descriptors)?;
    Ok(())
}
