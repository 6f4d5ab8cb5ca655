//! Typed gRPC client of the control plane and the subscription to its configuration.
