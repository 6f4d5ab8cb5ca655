//! What the gateway does as seen from outside, one test for each case of the list that docs/behaviour.md decides on;
//! "scenario A8" is the case's name there.
#![cfg(test)]

mod scenarios {
    mod batches;
    mod blocks;
    mod broadcasts;
    mod compression;
    mod connections;
    mod cors;
    mod envelope;
    mod error_classes;
    mod failing_upstreams;
    mod final_errors;
    mod half_close;
    #[path = "../gateway/harness.rs"]
    mod harness;
    mod hedges;
    mod hostile_bytes;
    mod knowledge;
    mod lifecycle;
    mod limits;
    mod lookups;
    mod methods;
    mod node_checks;
    mod overload;
    mod probe_verdicts;
    mod probes;
    mod protocols;
    mod races;
    mod raw;
    mod receipts;
    mod retries;
    mod setting;
    mod shares_of_failures;
    mod tiers;
    mod timeouts;
    mod transactions;
    mod upstream_limits;
}
