//! The exporter: follows rpcs and networks to measure them.
