//! A scriptable EVM node for tests and the demo.
