//! Runs calls for those who may make them, and writes down what the audit log is for.

use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use crate::audit::entry;
use crate::{Audit, Caller, Gate, Note, Outcome, Peer, Refusal, Rule, Who, unix_now, unix_now_ms, within};

/// The longest id of a request that is written down.
const MAX_REQUEST_ID: usize = 128;

/// What is called, by whom.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// `/package.Service/Method` or `METHOD /path/{parameter}`.
    pub name: &'a str,
    /// What it needs, if that is known.
    pub rule: Option<&'a Rule>,
    /// The other end.
    pub peer: &'a Peer,
    /// The value of the header `authorization`.
    pub authorization: Option<&'a [u8]>,
    /// The value of the header `x-request-id`.
    pub request_id: Option<&'a [u8]>,
}

/// The gate and the log; clones share them.
#[derive(Debug, Clone)]
pub struct Guard {
    gate: Arc<Gate>,
    audit: Audit,
}

impl Guard {
    /// Over a gate and a log.
    #[must_use]
    pub const fn new(gate: Arc<Gate>, audit: Audit) -> Self {
        Self { gate, audit }
    }

    /// The gate.
    #[must_use]
    pub const fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// The log.
    #[must_use]
    pub const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Runs `run` if the caller may call, and gives what came of it with who called. `outcome` tells how it ended.
    ///
    /// # Errors
    /// Why the caller may not.
    pub async fn run<T>(
        &self,
        call: Call<'_>,
        run: impl Future<Output = T>,
        outcome: impl FnOnce(&T) -> Outcome,
    ) -> Result<(T, Caller), Refusal> {
        let now = (unix_now(), Instant::now());
        let admitted = self.gate.admit(call.rule, call.peer, call.authorization, now);
        let caller = match admitted {
            Ok(caller) => caller,
            Err(refused) => {
                self.write_refusal(call, &refused.caller, &refused.refusal).await;
                return Err(refused.refusal);
            }
        };
        let (done, mut noted) = within(caller.clone(), run).await;
        // What nodes write has its own record and its own pace.
        let is_told =
            call.rule.is_some_and(|rule| rule.effect.is_write()) && !matches!(caller.who, Who::Node(_));
        if is_told {
            if noted.request_id.is_empty() {
                noted.request_id = request_id(call);
            }
            let record = entry(&caller, call.name, outcome(&done), noted, unix_now_ms());
            self.audit.record(record).await;
        }
        Ok((done, caller))
    }

    async fn write_refusal(&self, call: Call<'_>, caller: &Caller, refusal: &Refusal) {
        tracing::info!(
            method = call.name,
            subject = caller.subject(),
            peer = caller.peer,
            %refusal,
            "call refused"
        );
        // Those beyond a limit would fill the log.
        if !refusal.is_limit() {
            self.refused(caller, call.name, refusal, request_id(call)).await;
        }
    }

    /// Writes down that a caller was refused.
    pub async fn refused(&self, caller: &Caller, method: &str, refusal: &Refusal, request_id: String) {
        let outcome = match refusal.is_unauthenticated() {
            true => Outcome::Unauthenticated,
            false => Outcome::Denied,
        };
        let note = Note {
            request_id,
            summary: refusal.to_string(),
            ..Note::default()
        };
        // A method that is not known is a text of the caller's.
        let method = crate::permission_of(method).map_or("unknown", |rule| rule.name);
        let record = entry(caller, method, outcome, note, unix_now_ms());
        self.audit.record(record).await;
    }
}

fn request_id(call: Call<'_>) -> String {
    let id = call.request_id.and_then(|id| std::str::from_utf8(id).ok());
    let is_plain = |id: &&str| id.len() <= MAX_REQUEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
    id.filter(is_plain).unwrap_or_default().to_owned()
}
