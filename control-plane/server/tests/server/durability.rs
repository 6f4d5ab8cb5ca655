//! The real program, killed at any moment: what was acknowledged is there, and nothing is half there.

use std::{collections::BTreeMap, path::Path, time::Duration};

use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tyrscale_proto::v1::Resume;

use crate::{
    follower::Follower,
    plane::connect,
    program::{Dice, Program, check, times, write},
};

/// Kills of one store; then another one is begun, since each start looks at all of it.
const KILLS_OF_ONE: usize = 25;
const WRITERS: usize = 3;

/// The subscriber comes back and has what the store has, proved by its digest.
async fn resume(follower: &mut Option<Follower>, channel: &Channel, head: u64) {
    match follower {
        None => {
            let (mut fresh, plan) = Follower::connect(channel, "n").await;
            if plan.resume() == Resume::Snapshot {
                fresh.follow_to(head).await;
                *follower = Some(fresh);
            }
        }
        Some(follower) => {
            let plan = follower.reconnect(channel, "n").await;
            assert_ne!(
                plan.resume(),
                Resume::Hold,
                "what was pushed was durable: {}",
                plan.why
            );
            follower.follow_to(head).await;
        }
    }
}

/// Follows what is pushed until the server is gone.
async fn follow(follower: &mut Follower) {
    while let Ok(update) = follower.try_receive().await {
        follower.apply(&update);
        follower.ack(&update).await;
    }
}

/// Kills the program over one store again and again, under writers; gives how many writes were acknowledged.
async fn kill_again_and_again(dir: &Path, kills: usize, dice: &mut Dice) -> usize {
    let mut acknowledged = BTreeMap::new();
    let mut follower = None;
    let mut next = 0;
    for _ in 0..kills {
        let mut program = Program::start(dir);
        let channel = connect(program.grpc).await;
        let head = check(&channel, &acknowledged).await;
        resume(&mut follower, &channel, head).await;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let numbers = (next + writer..).step_by(WRITERS).take(1000);
            writers.spawn(write(channel.clone(), numbers));
        }
        next += 1000 * WRITERS;
        let moment = tokio::time::sleep(Duration::from_millis(dice.below(120)));
        tokio::select! {
            () = moment => {}
            () = async {
                match &mut follower {
                    Some(follower) => follow(follower).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
        program.kill();
        while let Some(written) = writers.join_next().await {
            acknowledged.extend(written.unwrap());
        }
    }
    let program = Program::start(dir);
    check(&connect(program.grpc).await, &acknowledged).await;
    acknowledged.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c88_killed_at_any_moment_nothing_acknowledged_is_lost_and_nothing_is_half_there() {
    let kills = times("KILLS", 20);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut acknowledged = 0;
    let mut left = kills;
    while left > 0 {
        let dir = TempDir::new().unwrap();
        let now = left.min(KILLS_OF_ONE);
        acknowledged += kill_again_and_again(dir.path(), now, &mut dice).await;
        left -= now;
    }
    println!("{kills} kills, {acknowledged} writes acknowledged, none lost");
    assert!(acknowledged >= kills, "something was written: {acknowledged}");
}
