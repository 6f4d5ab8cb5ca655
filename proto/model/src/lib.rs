//! The configuration as types: resources, snapshot, change set, pure apply, validation, digest.
