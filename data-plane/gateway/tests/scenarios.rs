//! What the gateway does as seen from outside, one test for each case of the list that docs/behaviour.md decides on;
//! "scenario A8" is the case's name there.
#![cfg(test)]

mod scenarios {
    mod batches;
    mod compression;
    mod connections;
    mod envelope;
    mod error_classes;
    mod failing_upstreams;
    mod final_errors;
    mod half_close;
    #[expect(
        dead_code,
        reason = "shared with the tests of the gateway's parts, which use the rest"
    )]
    #[path = "../gateway/harness.rs"]
    mod harness;
    mod hostile_bytes;
    mod lifecycle;
    mod probe_verdicts;
    mod probes;
    mod raw;
    mod setting;
    mod timeouts;
    mod transactions;
}
