//! What an upstream said to one call of a batch.

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;
use tyrscale_jsonrpc::empty::is_empty_result;
use tyrscale_jsonrpc::method::Empty;
use tyrscale_jsonrpc::{
    Answer as Said, Call, Class, ErrorReply, Exclusion, Method, Observed, Vendor, Verdict, classify,
    error_body, revert, surfaced, transaction,
};

use crate::answer;
use crate::endpoint::Endpoint;
use crate::metrics::CallOutcome;
use crate::subject::Subject;
use crate::upstream::{Question, is_own_word, tells_of_itself};

/// What an upstream said to one call.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) raw: Bytes,
    pub(super) outcome: CallOutcome,
    /// Another upstream may have a better answer than one of this class.
    pub(super) class: Option<Class>,
    /// It is an answer that nothing was found, where another upstream may find something.
    pub(super) is_empty: bool,
}

/// The answer to a batch.
pub(super) struct Whole<'r, 'q> {
    pub(super) body: &'r Bytes,
    pub(super) by: Option<&'r Endpoint>,
    pub(super) question: &'r Question<'q>,
    /// Whether what was not found is looked for at other upstreams.
    pub(super) elsewhere: bool,
}

/// What an answer to one call of a batch means, and whether another upstream may have a better one: as for a single
/// call, but that nobody is blamed.
pub(super) fn judge(
    (call, called): (&Call<'_>, &Method),
    raw: Bytes,
    answer: &Said,
    whole: &Whole<'_, '_>,
) -> (Heard, bool) {
    let observed = Observed {
        status: StatusCode::OK.as_u16(),
        is_ours: true,
        method: called,
        vendor: whole.by.map_or(Vendor::Other, |by| by.address().vendor()),
        answer,
        body: &raw,
    };
    let verdict = classify(&observed);
    if let (Verdict::Retry(class), Some(by)) = (verdict, whole.by)
        && is_own_word(verdict, &observed, whole.question, by.address())
    {
        teach(by, class, call);
    }
    let mut outcome = answer::outcome(answer);
    let put_right = match verdict {
        Verdict::Final(Class::Reverted) => revert::normalise(&raw),
        Verdict::Final(Class::AlreadyKnown) => {
            let hash = call.params.and_then(transaction::hash);
            outcome = hash.map_or(outcome, |_| CallOutcome::Result);
            hash.map(|hash| transaction::accepted(call.id, hash))
        }
        Verdict::Retry(class) => surfaced(&raw, call.id, class),
        Verdict::Answer | Verdict::Final(_) => None,
    };
    let is_empty = whole.elsewhere
        && called.empty == Empty::Suspicious
        && *answer == Said::Result
        && is_empty_result(&raw);
    let mut raw = put_right.map_or(raw, Bytes::from);
    if (outcome == CallOutcome::Error || tells_of_itself(called))
        && whole.by.is_some_and(|by| by.address().is_told_in(&raw))
    {
        raw = error_body(call.id, ErrorReply::UpstreamsFailed.code(), answer::REFUSED).into();
    }
    let class = match verdict {
        Verdict::Retry(class) => Some(class),
        Verdict::Answer | Verdict::Final(_) => None,
    };
    let may_ask = is_empty || class.is_some_and(|class| class.retryable(called.replay));
    let heard = Heard {
        raw,
        outcome,
        class,
        is_empty,
    };
    (heard, may_ask)
}

/// What a class teaches about the upstream for later requests.
fn teach(by: &Endpoint, class: Class, call: &Call<'_>) {
    let policy = class.policy();
    if policy.exclusion != Exclusion::None || policy.lesson.is_some() {
        let subject = Subject::of(std::iter::once(call));
        by.learn_failure(None, class, None, &subject, Instant::now().into_std());
    }
}
