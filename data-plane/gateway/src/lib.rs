//! The gateway: a JSON-RPC reverse proxy that runs from one routing table.
