//! The durable store of the configuration: one writer over sled.
