//! Who makes the call that runs, and what the audit log will say of it.

use std::cell::RefCell;
use std::future::Future;

use tyrscale_tls::Identity;

use crate::{Role, Scope};

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub who: Who,
    /// A token's id or a certificate's serial number; empty without either.
    pub credential: String,
    /// The address of the other end.
    pub peer: String,
    /// Until when the credential is good, in seconds of Unix time.
    pub expires: Option<i64>,
}

/// Who a caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Nobody asks: everything is allowed.
    Anonymous,
    /// The holder of a token.
    User {
        /// Its name.
        subject: String,
        /// What it may do.
        role: Role,
        /// Where.
        scope: Scope,
    },
    /// The holder of a certificate.
    Node(Identity),
}

impl Caller {
    /// The name in records.
    #[must_use]
    pub fn subject(&self) -> &str {
        match &self.who {
            Who::Anonymous => "anonymous",
            Who::User { subject, .. } => subject,
            Who::Node(identity) => &identity.node,
        }
    }

    /// Where it may act.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match &self.who {
            Who::User { scope, .. } => scope.clone(),
            Who::Anonymous | Who::Node(_) => Scope::default(),
        }
    }
}

/// What a call says of itself to the audit log. Nothing in it may be secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// The revision it made, else 0.
    pub revision: u64,
    /// The id the client gave its request, if any.
    pub request_id: String,
    /// What was asked.
    pub summary: String,
}

tokio::task_local! {
    static CALL: (Caller, RefCell<Note>);
}

/// Runs `call` as the call of `caller`, and gives what it noted.
pub async fn within<T>(caller: Caller, call: impl Future<Output = T>) -> (T, Note) {
    let run = async {
        let outcome = call.await;
        let note = CALL.with(|(_, note)| note.take());
        (outcome, note)
    };
    CALL.scope((caller, RefCell::default()), run).await
}

/// Who makes the call that runs in this task; none outside of one.
#[must_use]
pub fn caller() -> Option<Caller> {
    CALL.try_with(|(caller, _)| caller.clone()).ok()
}

/// Notes something of the call that runs in this task; without one nothing happens.
pub fn note(change: impl FnOnce(&mut Note)) {
    // Outside of a call nobody reads notes.
    CALL.try_with(|(_, note)| change(&mut note.borrow_mut())).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_knows_its_caller_and_keeps_its_notes() {
        let anonymous = Caller {
            who: Who::Anonymous,
            credential: String::new(),
            peer: "127.0.0.1:1".to_owned(),
            expires: None,
        };
        let (seen, note) = within(anonymous.clone(), async {
            tokio::task::yield_now().await;
            note(|note| note.revision = 7);
            caller()
        })
        .await;
        assert_eq!(seen, Some(anonymous));
        assert_eq!(note.revision, 7);
        assert_eq!(caller(), None);
    }
}
