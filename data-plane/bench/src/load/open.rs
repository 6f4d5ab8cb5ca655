//! An open loop: requests are due at a fixed rate, whether answers come or not.
//!
//! A request that has to wait for a free connection, or for this process to get to it, has waited all the same:
//! latencies count from when it was due, so a server that stalls cannot hide it by stalling its client too
//! (coordinated omission).

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::{Asker, Shared};

/// Most requests that are due and wait for a connection.
const WAITING: usize = 100_000;
/// How long after the end the last answers are waited for.
const DRAIN: Duration = Duration::from_secs(30);

/// Asks at `rate` per second until the record's end; returns how many could not even wait for a connection.
pub(super) async fn run(
    askers: impl Iterator<Item = Asker>,
    rate: u32,
    start: Instant,
    record: &Shared,
) -> anyhow::Result<u64> {
    let until = record.borrow().until;
    let (sender, due) = mpsc::channel(WAITING);
    let pacer = std::thread::spawn(move || pace(rate, start, until, &sender));
    let due = Rc::new(Mutex::new(due));
    let mut asking = JoinSet::new();
    for mut asker in askers {
        let due = Rc::clone(&due);
        asking.spawn_local(async move {
            loop {
                let next = due.lock().await.recv().await;
                let Some(at) = next else { return };
                asker.ask(at).await;
            }
        });
    }
    let all = async {
        while let Some(ended) = asking.join_next().await {
            ended?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout_at((until + DRAIN).into(), all).await??;
    pacer.join().map_err(|_| anyhow::anyhow!("the pacer ended early"))
}

/// Names each moment a request is due, when it is; returns how many found the queue full. On a thread of its own,
/// for a runtime's timer is exact to a millisecond only.
#[expect(
    clippy::disallowed_methods,
    reason = "this thread has nothing to do but to sleep"
)]
fn pace(rate: u32, start: Instant, until: Instant, due: &mpsc::Sender<Instant>) -> u64 {
    let mut unsent = 0;
    for number in 0_u64.. {
        let at = start + Duration::from_secs_f64(number as f64 / f64::from(rate.max(1)));
        if at >= until {
            break;
        }
        if let Some(rest) = at.checked_duration_since(Instant::now()) {
            std::thread::sleep(rest);
        }
        match due.try_send(at) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => unsent += 1,
            Err(TrySendError::Closed(_)) => break,
        }
    }
    unsent
}
