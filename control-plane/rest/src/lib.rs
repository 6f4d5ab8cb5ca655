//! The REST shim: /api/v1 as clients of the original program expect it.
