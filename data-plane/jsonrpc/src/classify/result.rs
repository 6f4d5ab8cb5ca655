//! Errors that come as results.

use memchr::memmem;

use super::Observed;
use crate::class::Class;
use crate::revert;

/// How much of a trace is searched for a time-out, in bytes.
const MAX_SEARCHED: usize = 64 * 1024;

/// The class of a result that is an error in truth: what a contract reverted with as the result of a call, or a
/// trace that the node gave up in the middle.
pub(super) fn hidden_error(observed: &Observed<'_>) -> Option<Class> {
    let label = observed.method.label;
    if label == "eth_call" {
        return revert::is_result(observed.body).then_some(Class::Reverted);
    }
    let is_trace = label.starts_with("debug_trace") || label.starts_with("trace_");
    (is_trace && timed_out(observed.body)).then_some(Class::NodeTimeout)
}

/// Whether the trace of a transaction ends with a time-out as its error.
fn timed_out(body: &[u8]) -> bool {
    let head = body.get(..MAX_SEARCHED).unwrap_or(body);
    memmem::find_iter(head, "execution timeout").any(|at| {
        let before = head.get(..at).unwrap_or_default();
        let Some(before) = before.strip_suffix(b"\"") else {
            return false;
        };
        let before = before.trim_ascii_end().strip_suffix(b":");
        before.is_some_and(|before| before.trim_ascii_end().ends_with(b"\"error\""))
    })
}
