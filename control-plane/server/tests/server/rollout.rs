//! Changes that reach the gateways stage after stage, and do not when they are bad.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::{Code, Status};
use tyrscale_model::{RolloutPolicy, wire};
use tyrscale_proto::v1::{
    self, NackReason, RolloutAction, RolloutState, SyncState, resource::Resource,
    status_service_client::StatusServiceClient,
};

use crate::{
    crew::{Member, Temper, all_run, crew},
    follower::{Follower, hello},
    plane::{LIMIT, Plane, apply_parts, network, route, upsert, upstream},
    status::{node, until},
};

type Part = v1::apply_request::Part;

/// Puts resources, to be rolled out by a policy.
pub(crate) async fn roll_out(plane: &Plane, policy: &str, resources: Vec<Resource>) -> u64 {
    let policy: RolloutPolicy = policy.parse().unwrap();
    roll_out_by(plane, wire::rollout_policy_to_wire(&policy), resources)
        .await
        .unwrap()
}

async fn roll_out_by(
    plane: &Plane,
    policy: v1::RolloutPolicy,
    resources: Vec<Resource>,
) -> Result<u64, Status> {
    let count = u32::try_from(resources.len()).unwrap();
    let header = v1::ApplyHeader {
        rollout: Some(policy),
        ..Default::default()
    };
    let parts = std::iter::once(Part::Header(header))
        .chain(resources.into_iter().map(upsert))
        .chain([Part::Commit(v1::ApplyCommit { count })]);
    let answer = apply_parts(&plane.channel, parts.collect()).await?;
    Ok(answer.version.unwrap().revision)
}

async fn rollout(plane: &Plane, id: u64) -> v1::Rollout {
    let mut client = StatusServiceClient::new(plane.channel.clone());
    let got = client.get_rollout(v1::GetRolloutRequest { id }).await;
    got.unwrap().into_inner().rollout.unwrap()
}

pub(crate) async fn until_rollout(plane: &Plane, is: impl Fn(&v1::Rollout) -> bool) -> v1::Rollout {
    let reached = async {
        loop {
            let mut client = StatusServiceClient::new(plane.channel.clone());
            let got = client.get_rollout(v1::GetRolloutRequest { id: 0 }).await;
            if let Ok(answer) = got
                && let Some(rollout) = answer.into_inner().rollout
                && is(&rollout)
            {
                return rollout;
            }
            tokio::task::yield_now().await;
        }
    };
    let Ok(rollout) = timeout(LIMIT, reached).await else {
        panic!("the rollout never gets there: {:?}", rollout(plane, 0).await)
    };
    rollout
}

pub(crate) async fn until_state(plane: &Plane, state: RolloutState) -> v1::Rollout {
    until_rollout(plane, |rollout| rollout.state() == state).await
}

pub(crate) async fn control(plane: &Plane, id: u64, action: RolloutAction) -> Result<v1::Rollout, Status> {
    let mut client = StatusServiceClient::new(plane.channel.clone());
    let request = v1::ControlRolloutRequest {
        id,
        action: action.into(),
    };
    let answer = client.control_rollout(request).await?;
    Ok(answer.into_inner().rollout.unwrap())
}

pub(crate) async fn freeze(plane: &Plane, frozen: bool) {
    let mut client = StatusServiceClient::new(plane.channel.clone());
    let request = v1::SetFreezeRequest {
        frozen,
        reason: "a holiday".to_owned(),
    };
    let answer = client.set_freeze(request).await.unwrap().into_inner();
    assert_eq!(answer.freeze.unwrap().frozen, frozen);
}

/// A gateway moved by hand that is the canary.
async fn canary(plane: &Plane) -> Follower {
    let mut hello = hello("canary", "boot");
    let labels = [("canary".to_owned(), "true".to_owned())];
    hello.node.as_mut().unwrap().labels = labels.into();
    let (mut canary, _) = Follower::greet(&plane.channel, hello).await;
    canary.follow().await;
    canary
}

fn canary_hello(have: Option<v1::Version>, quarantined: Vec<v1::Version>) -> v1::Hello {
    let mut hello = v1::Hello {
        have: have.into_iter().collect(),
        quarantined,
        ..hello("canary", "boot")
    };
    let labels = [("canary".to_owned(), "true".to_owned())];
    hello.node.as_mut().unwrap().labels = labels.into();
    hello
}

#[tokio::test]
async fn c76_stages_get_it_in_order_and_not_before_the_one_before_has_baked() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut crew = crew(&plane.channel, 20, Temper::Willing, 1).await;
    let revision = roll_out(&plane, "1 300ms, 10% 300ms", vec![network("bsc", 56)]).await;
    assert_eq!(revision, 2);
    all_run(&mut crew, 2).await;
    let mut times: Vec<Instant> = crew.iter().map(|member| member.offered_at(2).unwrap()).collect();
    times.sort();
    let bake = Duration::from_millis(300);
    assert!(times[1] - times[0] >= bake, "one gateway first, and for 300 ms");
    assert!(times[2] - times[1] >= bake, "two of twenty then");
    let done = until_state(&plane, RolloutState::Succeeded).await;
    assert_eq!(
        (done.acked.len(), done.nacked.len(), done.pending.len()),
        (20, 0, 0)
    );
    plane.stop().await;
}

/// A poisoned change never reaches the second gateway, and is gone by itself.
#[tokio::test]
async fn c77_what_the_first_gateway_refuses_reaches_no_other_and_is_reverted() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut crew = crew(&plane.channel, 20, Temper::Refuses("bad"), 1).await;
    roll_out(&plane, "1 1s, 10% 1s", vec![network("bad", 1), network("eth", 2)]).await;
    let rollout = until_state(&plane, RolloutState::Reverted).await;
    assert!(rollout.why.contains("INVALID"), "{}", rollout.why);
    assert_eq!(rollout.reverted_by, Some(3));
    all_run(&mut crew, 3).await;
    let saw: Vec<_> = crew
        .iter()
        .filter(|member| member.offered_at(2).is_some())
        .collect();
    assert_eq!(saw.len(), 1, "only the first gateway was offered it");
    let mut late = Follower::synced(&plane.channel, "late").await;
    assert_eq!(late.rows.len(), 1, "what it changed is restored");
    plane.put_network("next", 1).await;
    late.follow().await;
    plane.stop().await;
}

#[tokio::test]
async fn c78_a_canary_that_never_answers_halts_it_by_name() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut crew = crew(&plane.channel, 3, Temper::Silenced("bad"), 1).await;
    let policy = v1::RolloutPolicy {
        stage_timeout_ms: 1000,
        ..wire::rollout_policy_to_wire(&"1".parse().unwrap())
    };
    roll_out_by(&plane, policy, vec![network("bad", 1)])
        .await
        .unwrap();
    let rollout = until_state(&plane, RolloutState::Reverted).await;
    let silent = crew
        .iter()
        .position(|member| member.offered_at(2).is_some())
        .unwrap();
    assert_eq!(
        rollout.why,
        format!("{} has not answered in time", crew[silent].id)
    );
    drop(crew.remove(silent));
    all_run(&mut crew, 3).await;
    plane.stop().await;
}

#[tokio::test]
async fn c79_a_canary_that_goes_and_returns_gets_it_again_and_it_goes_on() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut crew = crew(&plane.channel, 3, Temper::Willing, 1).await;
    let mut canary = canary(&plane).await;
    roll_out(&plane, "label canary=true 100ms", vec![network("bsc", 1)]).await;
    let offered = canary.receive().await;
    assert_eq!(offered.target.revision, 2);
    let have = canary.running.clone();
    drop(canary);
    until(&plane, "canary", SyncState::Disconnected).await;
    let mut back = Follower::greet(&plane.channel, canary_hello(have, Vec::new())).await;
    assert_eq!(back.1.resume(), v1::Resume::Delta);
    let update = back.0.receive().await;
    assert_eq!(update.target.revision, 2);
    assert!(crew.iter().all(|member| member.offered_at(2).is_none()));
    back.0.ack_as(update.nonce, Some(update.target)).await;
    all_run(&mut crew, 2).await;
    plane.stop().await;
}

#[tokio::test]
async fn c82_a_frozen_fleet_stays_and_gets_one_update_when_it_goes_on() {
    let plane = Plane::start().await;
    let networks = (0..20).map(|number| network(&format!("n{number}"), 1));
    plane.put(networks.collect()).await;
    let mut follower = Follower::synced(&plane.channel, "n").await;
    freeze(&plane, true).await;
    plane.put_network("bsc", 1).await;
    plane.put_network("gno", 1).await;
    follower.wire.stays_quiet().await;
    let status = until(&plane, "n", SyncState::Held).await;
    assert_eq!(status.lanes[0].reason, "the fleet is frozen");
    let (_, plan) = Follower::connect(&plane.channel, "other").await;
    assert_eq!(
        plan.target.unwrap().revision,
        1,
        "who comes gets what the others run"
    );
    freeze(&plane, false).await;
    let update = follower.follow().await;
    assert_eq!((update.target.revision, update.upserts.len()), (3, 2));
    plane.stop().await;
}

#[tokio::test]
async fn c83_a_canary_that_died_with_it_halts_it() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut crew = crew(&plane.channel, 3, Temper::Willing, 1).await;
    let mut canary = canary(&plane).await;
    roll_out(&plane, "label canary=true 1s", vec![network("bad", 1)]).await;
    let deadly = canary.receive().await.target;
    let have = canary.running.clone();
    drop(canary);
    let hello = canary_hello(have, vec![deadly]);
    let (mut back, _) = Follower::greet(&plane.channel, hello).await;
    let rollout = until_state(&plane, RolloutState::Reverted).await;
    assert_eq!(rollout.why, "canary: CRASHED");
    let update = back.follow().await;
    assert_eq!(update.target.revision, 3, "it is not offered what it died with");
    all_run(&mut crew, 3).await;
    assert!(crew.iter().all(|member| member.offered_at(2).is_none()));
    plane.stop().await;
}

#[tokio::test]
async fn a_quarantined_content_is_not_offered_again_under_another_revision() {
    let plane = Plane::start().await;
    let deadly = plane.put_network("eth", 1).await;
    let hello = v1::Hello {
        quarantined: vec![deadly],
        ..hello("n", "boot")
    };
    let (mut follower, _) = Follower::greet(&plane.channel, hello).await;
    follower.wire.stays_quiet().await;
    let status = node(&plane, "n").await;
    assert_eq!(status.lanes[0].state(), SyncState::Rejected);
    let rejection = status.lanes[0].last_rejection.clone().unwrap();
    assert_eq!(rejection.reason(), NackReason::Crashed);
    plane.put_network("bsc", 1).await;
    follower.follow().await;
    plane.delete_network("bsc").await;
    follower.wire.stays_quiet().await;
    plane.stop().await;
}

/// F4.
#[tokio::test]
async fn a_restart_goes_on_from_the_stage() {
    let mut plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut crew_before = crew(&plane.channel, 4, Temper::Willing, 1).await;
    roll_out(&plane, "1 1h", vec![network("bsc", 1)]).await;
    let before = until_rollout(&plane, |rollout| rollout.acked.len() == 1).await;
    crew_before.clear();
    plane = plane.restart().await;
    let after = rollout(&plane, 0).await;
    assert_eq!(
        (after.state(), after.stage, after.id),
        (RolloutState::Running, 1, before.id)
    );
    let mut crew_after: Vec<Member> = (0..4)
        .map(|number| Member::start(&plane.channel, &format!("gw-{number:02}"), Temper::Willing))
        .collect();
    for member in &mut crew_after {
        let revision = if member.id == before.acked[0] { 2 } else { 1 };
        member.runs(revision).await;
    }
    control(&plane, 0, RolloutAction::Promote).await.unwrap();
    all_run(&mut crew_after, 2).await;
    until_state(&plane, RolloutState::Succeeded).await;
    plane.stop().await;
}

#[tokio::test]
async fn a_frozen_fleet_is_frozen_after_a_restart() {
    let mut plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    freeze(&plane, true).await;
    plane.put_network("bsc", 1).await;
    plane = plane.restart().await;
    let mut follower = Follower::synced(&plane.channel, "n").await;
    assert_eq!(follower.running.as_ref().unwrap().revision, 1);
    freeze(&plane, false).await;
    assert_eq!(follower.follow().await.target.revision, 2);
    plane.stop().await;
}

#[tokio::test]
async fn what_comes_during_a_rollout_waits_for_it_and_in_its_way_nothing_is_reverted() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut crew = crew(&plane.channel, 3, Temper::Refuses("bad"), 1).await;
    roll_out(&plane, "1 1h", vec![network("bsc", 1)]).await;
    until_rollout(&plane, |rollout| rollout.acked.len() == 1).await;
    plane.put_network("bsc", 2).await;
    let status = until(&plane, &crew[0].id, SyncState::Held).await;
    assert_eq!(status.lanes[0].reason, "waits for a rollout");
    let aborted = control(&plane, 0, RolloutAction::Abort).await.unwrap();
    assert_eq!(aborted.state(), RolloutState::Halted);
    assert!(aborted.why.contains("changed again"), "{}", aborted.why);
    control(&plane, 0, RolloutAction::Promote).await.unwrap();
    all_run(&mut crew, 3).await;
    let again = control(&plane, 0, RolloutAction::Pause).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    let unknown = control(&plane, 77, RolloutAction::Pause).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    plane.stop().await;
}

/// What else was committed still reaches everybody, after those who had the bad change.
#[tokio::test]
async fn after_a_revert_what_waited_is_rolled_out() {
    let plane = Plane::start_with(|config| config.rollout = "1 100ms".parse().unwrap()).await;
    plane.put_network("eth", 1).await;
    let mut crew = crew(&plane.channel, 4, Temper::Willing, 1).await;
    roll_out(&plane, "1 1h", vec![network("bsc", 1)]).await;
    until_rollout(&plane, |rollout| rollout.acked.len() == 1).await;
    plane.put_network("gno", 1).await;
    control(&plane, 0, RolloutAction::Abort).await.unwrap();
    all_run(&mut crew, 4).await;
    let saw = crew.iter().filter(|member| member.offered_at(2).is_some());
    assert_eq!(saw.count(), 1);
    assert_eq!(rollout(&plane, 2).await.state(), RolloutState::Reverted);
    until_rollout(&plane, |rollout| {
        rollout.id == 3 && rollout.state() == RolloutState::Succeeded
    })
    .await;
    plane.stop().await;
}

#[tokio::test]
async fn weights_and_cordons_go_to_all_at_once_whatever_the_default() {
    let plane = Plane::start_with(|config| config.rollout = "1 1h".parse().unwrap()).await;
    let content = |weight| {
        vec![
            Resource::Route(route(1)),
            Resource::Upstream(upstream(2, 1, weight)),
        ]
    };
    plane.put(content(1.0)).await;
    until_state(&plane, RolloutState::Running).await;
    let mut crew: Vec<Member> = (0..3)
        .map(|number| Member::start(&plane.channel, &format!("gw-{number}"), Temper::Willing))
        .collect();
    control(&plane, 0, RolloutAction::Promote).await.unwrap();
    all_run(&mut crew, 1).await;
    until_state(&plane, RolloutState::Succeeded).await;
    plane.put(content(2.0)).await;
    all_run(&mut crew, 2).await;
    plane.put_network("eth", 1).await;
    let rollout = until_state(&plane, RolloutState::Running).await;
    assert_eq!((rollout.base_revision, rollout.version.unwrap().revision), (2, 3));
    plane.stop().await;
}

#[tokio::test]
async fn a_bad_policy_is_refused_by_its_field() {
    let plane = Plane::start().await;
    let policy = v1::RolloutPolicy {
        stages: vec![v1::RolloutStage::default()],
        ..Default::default()
    };
    let refused = roll_out_by(&plane, policy, vec![network("eth", 1)])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("rollout.stages[0].share"), "{refused}");
    plane.stop().await;
}

#[tokio::test]
async fn a_watcher_is_told_of_all_nodes_then_of_each_that_changes() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let _one = Follower::synced(&plane.channel, "one").await;
    let mut two = Follower::synced(&plane.channel, "two").await;
    until(&plane, "one", SyncState::Synced).await;
    until(&plane, "two", SyncState::Synced).await;
    let mut client = StatusServiceClient::new(plane.channel.clone());
    let mut news = client
        .watch_nodes(v1::WatchNodesRequest {})
        .await
        .unwrap()
        .into_inner();
    let first = news.message().await.unwrap().unwrap();
    assert_eq!((first.nodes.len(), first.head.unwrap().revision), (2, 1));
    plane.put_network("bsc", 1).await;
    two.follow().await;
    let reached = async {
        loop {
            let next = news.message().await.unwrap().unwrap();
            let mut nodes = next.nodes.iter();
            if nodes.any(|node| {
                node.node.as_ref().unwrap().id == "two" && node.lanes[0].state() == SyncState::Synced
            }) {
                return next;
            }
        }
    };
    let next = timeout(LIMIT, reached).await.unwrap();
    assert_eq!(next.head.unwrap().revision, 2);
    drop(news);
    plane.stop().await;
}

/// F8.
#[tokio::test]
async fn what_nodes_hold_of_a_lost_store_is_shown() {
    let plane = Plane::start().await;
    let lost = v1::Version {
        lane: v1::Lane::Config.into(),
        lineage: vec![9; 16].into(),
        revision: 41,
        digest: vec![7; 32].into(),
    };
    let mut followers = Vec::new();
    for id in ["one", "two"] {
        let hello = v1::Hello {
            have: vec![lost.clone()],
            ..hello(id, "boot")
        };
        let (follower, plan) = Follower::greet(&plane.channel, hello).await;
        assert_eq!(plan.resume(), v1::Resume::Hold);
        until(&plane, id, SyncState::Held).await;
        followers.push(follower);
    }
    let mut client = StatusServiceClient::new(plane.channel.clone());
    let listed = client
        .list_nodes(v1::ListNodesRequest {})
        .await
        .unwrap()
        .into_inner();
    let foreign = v1::ForeignContent {
        lineage: vec![9; 16].into(),
        revision: 41,
        nodes: 2,
    };
    assert_eq!(listed.foreign, [foreign]);
    plane.stop().await;
}
