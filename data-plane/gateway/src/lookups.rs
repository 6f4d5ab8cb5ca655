//! Lookups for which one upstream finds nothing while another may.

use bytes::Bytes;
use tyrscale_jsonrpc::empty::is_empty_result;
use tyrscale_jsonrpc::method::Empty;
use tyrscale_jsonrpc::{Answer, Expect};

use crate::body::AnswerBody;
use crate::endpoint::Endpoint;
use crate::probe::quantity;
use crate::route::Route;
use crate::upstream::{Question, Reply};

/// Most further upstreams that are asked after one found nothing.
const MAX_FURTHER: u32 = 2;
/// Longest answer that is read for the height in it, in bytes.
const MAX_HEIGHT_ANSWER: usize = 256;

/// What was found so far by upstreams that found nothing.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    nothing: Option<Box<Reply>>,
    further: u32,
}

impl Lookup {
    /// The reply to pass on; `None` when another upstream is to be asked first, because this one found nothing.
    pub(crate) fn settle(&mut self, route: &Route, question: &Question<'_>, reply: Reply) -> Option<Reply> {
        let is_asked_elsewhere = route.consistency.empty_lookups_elsewhere
            && question.expect == Expect::Single
            && question.method.empty == Empty::Suspicious
            && self.further < MAX_FURTHER;
        if !is_asked_elsewhere || !whole_result(&reply).is_some_and(|body| is_empty_result(body)) {
            return Some(reply);
        }
        self.further += 1;
        self.nothing.get_or_insert_with(|| Box::new(reply));
        None
    }

    /// What is passed on when nobody else answered: that nothing was found is an answer, too.
    pub(crate) fn nothing(self) -> Option<Reply> {
        self.nothing.map(|reply| *reply)
    }
}

impl Route {
    /// Takes in the height that an upstream told a client.
    pub(crate) fn overhear(&self, question: &Question<'_>, endpoint: &Endpoint, reply: &Reply) {
        if question.method.label != "eth_blockNumber" {
            return;
        }
        let height = whole_result(reply)
            .filter(|body| body.len() <= MAX_HEIGHT_ANSWER)
            .and_then(|body| serde_json::from_slice::<serde_json::Value>(body).ok())
            .and_then(|answer| quantity(answer.get("result")?));
        if let Some(height) = height
            && self.heads.saw(height, self.trust())
        {
            endpoint.saw_head(height, std::time::Instant::now());
        }
    }
}

fn whole_result(reply: &Reply) -> Option<&Bytes> {
    match (&reply.body, &reply.answer) {
        (Some(AnswerBody::Whole(body)), Answer::Result) => Some(body),
        _ => None,
    }
}
