//! The attempts of one request: one upstream after the other, until one answers or none is left.

use std::sync::Arc;

use tokio::time::Instant;
use tyrscale_jsonrpc::{Answer, Class, ErrorReply, Kind, Replay, RpcError, most_telling};

use crate::attempt::Attempt;
use crate::lookups::Lookup;
use crate::pool::Use;
use crate::route::{Route, Tried};
use crate::trace::{Event, Journal};
use crate::upstream::{Failure, Place, Question, Reply, Time, ask};

/// What a request has been through, in one question or several.
#[derive(Debug)]
pub(crate) struct Course {
    tried: Tried,
    /// When the time of all its attempts is up; `None` before the first.
    deadline: Option<Instant>,
}

impl Course {
    pub(crate) fn new(route: &Route) -> Self {
        Self {
            tried: Tried::new(route.endpoints().len()),
            deadline: None,
        }
    }
}

/// Asks the route's upstreams, each at most once, as long as another attempt does no harm and the request's
/// time is not up. One that may not have seen the request, because it was closing an idle connection, is asked
/// again when no other is left.
///
/// # Errors
/// [`Failures`] when no upstream gave an answer to pass on.
pub(crate) async fn forward(
    route: &Route,
    question: &Question<'_>,
    course: &mut Course,
    journal: &mut Journal<'_>,
    place: &mut Place<'_>,
) -> Result<Reply, Failures> {
    let mut now = Instant::now();
    let is_first = course.deadline.is_none();
    let deadline = *course
        .deadline
        .get_or_insert(now + place.settings.request_timeout);
    let mut failures = Vec::new();
    let mut unseen = None;
    let mut lookup = Lookup::default();
    loop {
        let (attempt, which) = match route.begin(&mut course.tried, now) {
            Some(attempt) => (attempt, Use::IdleOrNew),
            None => match unseen.take().and_then(|endpoint| Attempt::at(&endpoint, now)) {
                Some(attempt) => (attempt, Use::New),
                None => break,
            },
        };
        let full = now + place.settings.attempt_timeout;
        let time = Time {
            until: deadline.min(full),
            // The first attempt has all that the settings give it, whichever of the two is less.
            is_rest: deadline < full && !(is_first && failures.is_empty()),
        };
        let endpoint = Arc::clone(attempt.endpoint());
        let upstream = endpoint.spec().upstream_id;
        journal.note(upstream, Event::Asked);
        let failure = match ask(attempt, question, which, time, place).await {
            Ok(reply) => {
                journal.note(upstream, Event::Answered);
                route.overhear(question, &endpoint, &reply);
                match lookup.settle(route, question, reply) {
                    Some(reply) => return Ok(reply),
                    None => {
                        now = Instant::now();
                        if now < deadline {
                            continue;
                        }
                        break;
                    }
                }
            }
            Err(failure) => failure,
        };
        journal.note(upstream, Event::Failed(failure.class.name()));
        now = Instant::now();
        let goes_on = failure.class.retryable(question.replay) && now < deadline;
        if failure.perhaps_unseen && question.replay == Replay::Safe {
            unseen = Some(endpoint);
        }
        failures.push(failure);
        if !goes_on {
            break;
        }
    }
    lookup.nothing().ok_or(Failures(failures))
}

/// Every attempt of a request that nobody answered, in order; empty when no upstream could be asked.
#[derive(Debug)]
pub(crate) struct Failures(Vec<Failure>);

/// What to tell the client when nobody answered.
#[derive(Debug)]
pub(crate) enum Telling {
    /// What the upstreams said, status and body, as far as it may be told, for all of them said the same.
    PassOn(Reply),
    /// The error that an upstream gave, with the code of its class.
    Said(Reply, Class),
    /// The one error that an upstream gave for a whole batch.
    BatchError(RpcError),
    /// An error of the gateway's own.
    Own(ErrorReply),
}

impl Failures {
    /// The most telling answer that can be made of them, for methods of that kind.
    pub(crate) fn telling(mut self, kind: Kind) -> Telling {
        let Some(class) = most_telling(self.0.iter().map(|failure| failure.class), kind) else {
            return Telling::Own(ErrorReply::NoUpstream);
        };
        let status = |failure: &Failure| failure.said.as_ref().map(|reply| reply.status);
        let first = self.0.first().and_then(status);
        let unanimous = self
            .0
            .iter()
            .all(|failure| failure.class == class && status(failure) == first);
        let of_the_class = |failure: &mut Failure| (failure.class == class).then(|| failure.said.take())?;
        let said = self.0.iter_mut().rev().find_map(of_the_class);
        match (class, said.map(|reply| *reply)) {
            (
                Class::BatchRefused,
                Some(Reply {
                    answer: Answer::BatchRefused(error),
                    ..
                }),
            ) => Telling::BatchError(error),
            (Class::Refused | Class::Unauthorized | Class::Billing | Class::RequestTooLarge, Some(reply))
                if unanimous && reply.status.is_client_error() =>
            {
                Telling::PassOn(reply)
            }
            (_, Some(reply)) if matches!(reply.answer, Answer::Error(_)) => Telling::Said(reply, class),
            _ => Telling::Own(class.into()),
        }
    }
}

impl Telling {
    /// The JSON-RPC error to put in the place of each call of a batch.
    pub(crate) fn item_error(&self) -> (i64, &str) {
        match self {
            Self::BatchError(error) => (
                error.code.unwrap_or(ErrorReply::UpstreamsFailed.code()),
                &error.message,
            ),
            Self::Own(reply) => (reply.code(), reply.message()),
            Self::PassOn(_) | Self::Said(..) => {
                let reply = ErrorReply::UpstreamsFailed;
                (reply.code(), reply.message())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;
    use tyrscale_http1::Fields;

    use super::*;
    use crate::body::AnswerBody;

    fn refused(status: u16, text: &'static str) -> Failure {
        Failure {
            class: Class::Refused,
            perhaps_unseen: false,
            said: Some(Box::new(Reply {
                status: StatusCode::from_u16(status).unwrap(),
                fields: Fields::default(),
                answer: Answer::NotJsonRpc,
                by: None,
                body: Some(AnswerBody::Whole(Bytes::from_static(text.as_bytes()))),
                is_gzip: false,
            })),
        }
    }

    fn telling(failures: Vec<Failure>) -> Telling {
        Failures(failures).telling(Kind::Read)
    }

    #[test]
    fn a_refusal_is_passed_on_only_when_all_refuse_alike() {
        let alike = telling(vec![refused(404, "one"), refused(404, "two")]);
        assert!(matches!(alike, Telling::PassOn(reply) if reply.status == 404));
        let unlike = telling(vec![refused(404, "one"), refused(408, "two")]);
        assert!(matches!(unlike, Telling::Own(ErrorReply::Failed(Class::Refused))));
        let beside_a_failure = telling(vec![refused(404, "one"), Class::Timeout.into()]);
        assert!(matches!(
            beside_a_failure,
            Telling::Own(ErrorReply::UpstreamTimeout)
        ));
    }

    #[test]
    fn without_an_attempt_there_was_no_upstream() {
        assert!(matches!(
            telling(Vec::new()),
            Telling::Own(ErrorReply::NoUpstream)
        ));
    }
}
