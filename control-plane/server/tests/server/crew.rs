//! Gateways that follow by themselves, and what they saw.

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tonic::transport::Channel;
use tyrscale_proto::v1::{self, NackReason};

use crate::{
    follower::{Follower, Update, hello},
    plane::LIMIT,
};

/// What a gateway does with a network it does not like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Takes everything.
    Willing,
    /// Refuses a content with this network.
    Refuses(&'static str),
    /// Says nothing more once it is offered this network.
    Silenced(&'static str),
}

/// A gateway in a task of its own.
pub(crate) struct Member {
    pub(crate) id: String,
    /// Every revision it was offered, and when.
    pub(crate) offered: watch::Receiver<Vec<(u64, Instant)>>,
    /// Every revision it ran.
    pub(crate) ran: watch::Receiver<Vec<u64>>,
    task: JoinHandle<()>,
}

impl Member {
    pub(crate) fn start(channel: &Channel, id: &str, temper: Temper) -> Self {
        let (offers, offered) = watch::channel(Vec::new());
        let (runs, ran) = watch::channel(Vec::new());
        let (channel, hello) = (channel.clone(), hello(id, "boot"));
        let task = tokio::spawn(async move {
            let (mut follower, _) = Follower::greet(&channel, hello).await;
            while let Ok(update) = follower.try_receive().await {
                let revision = update.target.revision;
                offers.send_modify(|offers| offers.push((revision, Instant::now())));
                match temper {
                    Temper::Refuses(name) if brings(&update, name) => {
                        follower.nack(&update, NackReason::Invalid).await;
                    }
                    Temper::Silenced(name) if brings(&update, name) => {}
                    Temper::Willing | Temper::Refuses(_) | Temper::Silenced(_) => {
                        follower.apply(&update);
                        follower.ack(&update).await;
                        runs.send_modify(|runs| runs.push(revision));
                    }
                }
            }
        });
        Self {
            id: id.to_owned(),
            offered,
            ran,
            task,
        }
    }

    /// Waits until it runs a revision.
    pub(crate) async fn runs(&mut self, revision: u64) {
        let running = self.ran.wait_for(|ran| ran.last() == Some(&revision));
        let reached = timeout(LIMIT, running).await;
        assert!(
            matches!(reached, Ok(Ok(_))),
            "{} does not run {revision}",
            self.id
        );
    }

    /// When it was offered a revision first.
    pub(crate) fn offered_at(&self, revision: u64) -> Option<Instant> {
        let offered = self.offered.borrow();
        let first = offered.iter().find(|(offered, _)| *offered == revision)?;
        Some(first.1)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn brings(update: &Update, name: &str) -> bool {
    let kind = i32::from(v1::Kind::Network);
    update
        .upserts
        .iter()
        .any(|row| row.kind == kind && row.id == name)
}

/// So many of them, all at a revision.
pub(crate) async fn crew(channel: &Channel, count: usize, temper: Temper, revision: u64) -> Vec<Member> {
    let start = |number| Member::start(channel, &format!("gw-{number:02}"), temper);
    let mut crew: Vec<Member> = (0..count).map(start).collect();
    all_run(&mut crew, revision).await;
    crew
}

/// Waits until all run a revision.
pub(crate) async fn all_run(crew: &mut [Member], revision: u64) {
    for member in crew {
        member.runs(revision).await;
    }
}
