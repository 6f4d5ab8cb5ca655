//! Metrics, logs and the admin endpoints every service shares.
