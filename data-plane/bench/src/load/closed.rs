//! A closed loop: each connection asks again as soon as it is answered.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Asker, Shared};

/// How long after the end the last answers are waited for.
const DRAIN: Duration = Duration::from_secs(30);

/// Asks until the record's end, or until `requests` are sent; returns 0, for each request is sent when it is due.
pub(super) async fn run(
    askers: impl Iterator<Item = Asker>,
    requests: Option<u64>,
    record: &Shared,
) -> anyhow::Result<u64> {
    if requests.is_some() {
        // The number ends it, not the time.
        record.borrow_mut().until += Duration::from_secs(86_400);
    }
    let until = record.borrow().until;
    let left = Rc::new(Cell::new(requests.unwrap_or(u64::MAX)));
    let mut asking = JoinSet::new();
    for mut asker in askers {
        let left = Rc::clone(&left);
        asking.spawn_local(async move {
            loop {
                let now = Instant::now();
                if now >= until || left.get() == 0 {
                    return;
                }
                left.set(left.get() - 1);
                asker.ask(now).await;
            }
        });
    }
    let all = async {
        while let Some(ended) = asking.join_next().await {
            ended?;
        }
        Ok(0)
    };
    tokio::time::timeout_at((until + DRAIN).into(), all).await?
}
