//! JSON-RPC envelopes, ids kept as bytes, methods and their properties, classification of answers.
