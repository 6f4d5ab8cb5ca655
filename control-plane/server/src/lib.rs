//! The control plane: owns the configuration and pushes it to every subscriber.
