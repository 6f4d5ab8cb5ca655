//! What to tell the client when nobody answered.

use std::time::Instant;

use tyrscale_jsonrpc::{Answer, Class, ErrorReply, Kind, RpcError, most_telling};

use crate::shortage::Shortage;
use crate::upstream::{Failure, Reply};

/// Every attempt of a request that nobody answered, in order, and why there was not another one.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    attempts: Vec<Failure>,
    /// `None` when there was somebody who could have been asked.
    shortage: Option<Box<Shortage>>,
}

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
    /// Nobody could be asked, for reasons that are given in words.
    Nobody(ErrorReply, String),
}

impl Failures {
    pub(crate) fn push(&mut self, failure: Failure) {
        self.attempts.push(failure);
    }

    /// Nobody is left to be asked.
    pub(crate) fn end_for(&mut self, shortage: Shortage) {
        self.shortage = Some(Box::new(shortage));
    }

    /// Whether no attempt has been made.
    pub(crate) const fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// After how many seconds an upstream may be free again, if one was in want of that.
    pub(crate) fn retry_after(&self, now: Instant) -> Option<u64> {
        self.shortage.as_ref()?.retry_after(now)
    }

    /// The most telling answer that can be made of them, for methods of that kind; `method` is the one that was
    /// called, if it was one.
    pub(crate) fn telling(mut self, kind: Kind, method: Option<&str>) -> Telling {
        let Some(class) = most_telling(self.attempts.iter().map(|failure| failure.class), kind) else {
            let shortage = self.shortage.unwrap_or_default();
            return Telling::Nobody(shortage.reply(), shortage.text(method));
        };
        let status = |failure: &Failure| failure.said.as_ref().map(|reply| reply.status);
        let first = self.attempts.first().and_then(status);
        let unanimous = self
            .attempts
            .iter()
            .all(|failure| failure.class == class && status(failure) == first);
        let of_the_class = |failure: &mut Failure| (failure.class == class).then(|| failure.said.take())?;
        let said = self.attempts.iter_mut().rev().find_map(of_the_class);
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
            Self::Nobody(reply, text) => (reply.code(), text),
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
            is_own_word: true,
            retry_after: None,
            said: Some(Box::new(Reply {
                status: StatusCode::from_u16(status).unwrap(),
                fields: Fields::default(),
                answer: Answer::NotJsonRpc,
                refusal: None,
                is_gzip: false,
                by: None,
                body: Some(AnswerBody::Whole(Bytes::from_static(text.as_bytes()))),
            })),
        }
    }

    fn telling(failures: Vec<Failure>) -> Telling {
        let mut all = Failures::default();
        failures.into_iter().for_each(|failure| all.push(failure));
        all.telling(Kind::Read, None)
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
            Telling::Nobody(ErrorReply::NoUpstream, _)
        ));
    }
}
