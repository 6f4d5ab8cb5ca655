"""Checks the architecture on the dependency graph that cargo resolved.

Reads `cargo metadata` of the workspace and exits with 1 when a rule of docs/architecture.md is broken.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Lowest first. A dependency goes from a later row to an earlier one.
LAYERS = [
    {"tyrscale-proto", "tyrscale-etcd", "tyrscale-jsonrpc", "tyrscale-telemetry", "tyrscale-tls"},
    {"tyrscale-model"},
    {"tyrscale-store", "tyrscale-client", "tyrscale-balance", "tyrscale-http1", "tyrscale-scoring"},
    {"tyrscale-access"},
    {"tyrscale-rest", "tyrscale-transcode"},
    {
        "tyrscale-control-plane",
        "tyrscale-recommender",
        "tyrscale-gateway",
        "tyrscale-exporter",
        "tyrscale-simnode",
    },
    {"tyrctl", "tyrscale-bench"},
]

# Who alone may name the crate: one place to replace it.
WRAPPERS = {
    "sled": {"tyrscale-store"},
    "tyrscale-etcd": {"tyrscale-store"},
    "tyrscale-store": {"tyrscale-access", "tyrscale-rest", "tyrscale-control-plane"},
    "tyrscale-access": {"tyrscale-rest", "tyrscale-control-plane"},
    "tyrscale-rest": {"tyrscale-control-plane"},
    "tyrscale-transcode": {"tyrscale-control-plane"},
    "tyrscale-scoring": {"tyrscale-recommender"},
    # The recommender runs it in a test.
    "tyrscale-control-plane": {"tyrctl", "tyrscale-recommender"},
    "tyrscale-gateway": {"tyrctl", "tyrscale-bench"},
    "ring": {"tyrscale-control-plane"},
    "opentelemetry-prometheus": {"tyrscale-telemetry"},
    "opentelemetry_sdk": {"tyrscale-telemetry"},
}

# Crates that decide or parse: without I/O, without a runtime.
PURE = {"tyrscale-model", "tyrscale-jsonrpc", "tyrscale-balance", "tyrscale-scoring"}
IMPURE = {"tokio", "hyper", "hyper-util", "tonic", "axum", "sled", "tracing"}

# Second TLS providers, native TLS and protoc must stay out of the tree.
BANNED = {"aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls", "protoc-bin-vendored"}

LICENCES = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}


def metadata():
    """The resolved graph of the workspace, with the lock file as it is."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def plane(package):
    """The top-level folder of a workspace package."""
    return Path(package["manifest_path"]).relative_to(ROOT).parts[0]


def layer_faults(members):
    """Dependencies that do not point down, between the planes, or into a pure crate."""
    height = {name: row for row, names in enumerate(LAYERS) for name in names}
    by_name = {package["name"]: package for package in members}
    for name in sorted(by_name.keys() ^ height.keys()):
        yield f"{name} is in the workspace or in the layers, not in both"
    for name, package in by_name.items():
        for dependency in package["dependencies"]:
            target, kind = dependency["name"], dependency["kind"]
            if target in by_name and {plane(package), plane(by_name[target])} == {"control-plane", "data-plane"}:
                yield f"{name} depends on {target}: the planes meet in proto/ only"
            if kind == "dev":
                continue
            if target in by_name and height.get(target, 0) >= height.get(name, 0):
                yield f"{name} depends on {target}, which is not below it"
            if name in PURE and target in IMPURE:
                yield f"{name} is pure and depends on {target}"


def wrapper_faults(members):
    """Dependencies that belong to another crate."""
    for package in members:
        for dependency in package["dependencies"]:
            owners = WRAPPERS.get(dependency["name"])
            if owners is not None and package["name"] not in owners:
                yield f"{package['name']} depends on {dependency['name']}, which is for {', '.join(sorted(owners))}"


def permissive(expression):
    """Whether one side of the licence expression needs permissive licences only."""
    text = expression.replace("(", " ").replace(")", " ").replace("/", " OR ")
    choices = (choice.split(" AND ") for choice in text.split(" OR "))
    return any(all(" ".join(term.split()) in LICENCES for term in choice) for choice in choices)


def tree_faults(packages):
    """Foreign packages that must not be in the tree."""
    for package in packages:
        name, licence = package["name"], package["license"]
        if name in BANNED:
            yield f"{name} {package['version']} is in the tree"
        if licence is None and package["license_file"] is None or licence is not None and not permissive(licence):
            yield f"{name} {package['version']} has the licence {licence}"


def main():
    graph = metadata()
    ids = set(graph["workspace_members"])
    members = [package for package in graph["packages"] if package["id"] in ids]
    faults = [*layer_faults(members), *wrapper_faults(members), *tree_faults(graph["packages"])]
    for fault in faults:
        print(f"fault: {fault}")
    print(f"{len(members)} crates, {len(graph['packages'])} packages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
