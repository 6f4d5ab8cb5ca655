//! Answers compressed for clients that take gzip.

use bytes::Bytes;
use http::StatusCode;
use tyrscale_http1::Fields;

use crate::answer::Answer;
use crate::body::AnswerBody;
use crate::coding::{self, Encoder};

/// The least body that is worth it: less fits into one packet anyway.
const MIN_BYTES: usize = 1400;

/// Whether and how answers to clients are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Compress {
    /// Upstreams are asked for plain answers.
    #[default]
    Off,
    /// Upstreams are asked for gzip when the client takes it, and their answers are passed on as they come.
    Pass,
    /// As `Pass`; plain answers of some size are compressed.
    Gzip,
}

impl Compress {
    /// The content codings that an upstream is asked for on behalf of a client that sent `fields`.
    pub(crate) fn accepted(self, fields: &Fields) -> &'static str {
        if self != Self::Off && coding::accepts_gzip(fields) {
            "gzip"
        } else {
            "identity"
        }
    }

    /// The answer to a client that sent `request`, compressed if that is wanted.
    pub(crate) fn apply(self, mut answer: Answer, request: &Fields) -> Answer {
        if self != Self::Gzip {
            return answer;
        }
        let is_coded = answer.own.iter().any(|(name, _)| *name == "content-encoding");
        let is_large = match &answer.body {
            AnswerBody::Whole(body) => body.len() >= MIN_BYTES,
            AnswerBody::Streaming(_) => true,
        };
        let may = answer.status == StatusCode::OK && !coding::forbids_transforming(&answer.passed_on);
        if is_coded || !is_large || !may {
            return answer;
        }
        if !coding::accepts_gzip(request) {
            answer.own.push(vary());
            return answer;
        }
        answer.body = match answer.body {
            AnswerBody::Whole(body) => match Encoder::new().end(&body) {
                Some(coded) => AnswerBody::Whole(coded),
                None => {
                    answer.body = AnswerBody::Whole(body);
                    return answer;
                }
            },
            AnswerBody::Streaming(mut rest) => {
                rest.compress();
                AnswerBody::Streaming(rest)
            }
        };
        // Another form of the same is another one, byte for byte. Source: RFC 9110, section 8.8.3.3.
        answer.passed_on.keep_end_to_end(|field| !field.is("etag"));
        answer.own.extend(gzip_fields());
        answer
    }
}

/// What says that a body is gzip, and is so because of what the client takes.
pub(crate) fn gzip_fields() -> [(&'static str, Bytes); 2] {
    [("content-encoding", Bytes::from_static(b"gzip")), vary()]
}

const fn vary() -> (&'static str, Bytes) {
    ("vary", Bytes::from_static(b"accept-encoding"))
}
