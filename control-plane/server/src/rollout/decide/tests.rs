//! What a rollout does, told by hand and at random.

use proptest::prelude::*;
use tyrscale_model::{Digest, Lane, Lineage, RouteId, Traffic};

use super::*;
use crate::telemetry::Comparison as Served;

const SECOND: Duration = Duration::from_secs(1);

fn rollout(policy: &str) -> Rollout {
    let version = Version {
        lane: Lane::Config,
        lineage: Lineage([1; 16]),
        revision: Revision(8),
        digest: Digest([2; 32]),
    };
    Rollout {
        id: 1,
        version,
        base: Revision(7),
        policy: policy.parse().unwrap(),
        stage: 0,
        members: BTreeSet::new(),
        state: State::Running,
        why: String::new(),
        is_forced: false,
        is_revert_due: false,
        reverted_by: None,
        started: UnixMillis(0),
        ended: None,
    }
}

/// A rollout over gateways that take what they are given, unless the test says otherwise.
struct Fleet {
    rollout: Rollout,
    clock: Clock,
    now: Instant,
    gateways: Vec<Gateway>,
    actions: Vec<Action>,
}

impl Fleet {
    fn of(count: usize, policy: &str) -> Self {
        let gateway = |number: usize| Gateway {
            id: format!("gw-{number:02}"),
            labels: [("number".to_owned(), number.to_string())].into(),
            is_connected: true,
            runs: false,
            refused: None,
            is_unable: false,
        };
        let now = Instant::now();
        Self {
            rollout: rollout(policy),
            clock: Clock::new(now),
            now,
            gateways: (0..count).map(gateway).collect(),
            actions: Vec::new(),
        }
    }

    fn look(&mut self) -> &mut Self {
        self.look_with(&[])
    }

    fn look_with(&mut self, comparisons: &[Comparison]) -> &mut Self {
        let event = Event::Seen(&self.gateways, comparisons);
        if let Ok(action) = self.rollout.step(&mut self.clock, event, self.now) {
            self.actions.push(action);
        }
        self
    }

    /// Those that are to have it answer.
    fn answer(&mut self) -> &mut Self {
        for gateway in &mut self.gateways {
            gateway.runs |= gateway.is_connected && self.rollout.includes(&gateway.id);
        }
        self.look()
    }

    fn wait(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self.look()
    }

    fn told(&mut self, control: Control) -> Result<Action, NotNow> {
        self.rollout.step(&mut self.clock, Event::Told(control), self.now)
    }

    fn first(&mut self) -> &mut Gateway {
        let id = self.rollout.members.first().unwrap().clone();
        self.gateways.iter_mut().find(|gateway| gateway.id == id).unwrap()
    }

    fn given(&self) -> usize {
        let given = self
            .gateways
            .iter()
            .filter(|gateway| self.rollout.includes(&gateway.id));
        given.count()
    }
}

#[test]
fn stages_come_in_order_and_not_before_they_have_baked() {
    let mut fleet = Fleet::of(20, "1 30s, 10% 60s, 50%");
    assert_eq!(fleet.look().given(), 1);
    assert_eq!(fleet.wait(60 * SECOND).given(), 1, "nobody has answered");
    assert_eq!(fleet.answer().given(), 1);
    assert_eq!(fleet.wait(29 * SECOND).given(), 1);
    assert_eq!(fleet.wait(SECOND).given(), 2);
    assert_eq!(fleet.answer().wait(59 * SECOND).given(), 2);
    assert_eq!(fleet.wait(SECOND).given(), 10);
    assert_eq!(
        fleet.answer().given(),
        20,
        "a stage without a time passes once all have answered"
    );
    assert_eq!(fleet.rollout.state, State::Running);
    assert_eq!(fleet.answer().rollout.state, State::Succeeded);
    assert!(fleet.actions.iter().all(|action| *action == Action::Nothing));
}

#[test]
fn a_refusal_halts_and_reverts_and_nobody_else_gets_it() {
    let mut fleet = Fleet::of(20, "1 30s");
    fleet.look();
    fleet.first().refused = Some("INVALID: no such plugin".into());
    fleet.look();
    assert_eq!(fleet.actions.last(), Some(&Action::Halt(Cause::Refused)));
    assert!(fleet.rollout.is_revert_due);
    assert_eq!(fleet.rollout.state, State::Halted);
    assert!(
        fleet.rollout.why.contains("no such plugin"),
        "{}",
        fleet.rollout.why
    );
    assert_eq!(fleet.wait(3600 * SECOND).given(), 1);
    let undone = Event::Undone(Revision(9));
    fleet.rollout.step(&mut fleet.clock, undone, fleet.now).unwrap();
    assert_eq!(fleet.rollout.state, State::Reverted);
    assert_eq!(fleet.told(Control::Promote), Err(NotNow));
}

#[test]
fn with_hold_it_stays_halted_until_an_operator_decides() {
    let mut fleet = Fleet::of(5, "1");
    fleet.rollout.policy.on_halt = OnHalt::Hold;
    fleet.look().first().refused = Some("INVALID".into());
    fleet.look();
    assert_eq!(fleet.actions.last(), Some(&Action::Halt(Cause::Refused)));
    assert!(!fleet.rollout.is_revert_due);
    assert_eq!(fleet.rollout.state, State::Halted);
    assert_eq!(fleet.told(Control::Pause), Err(NotNow));
    assert_eq!(fleet.told(Control::Promote), Ok(Action::Nothing));
    assert_eq!(fleet.answer().given(), 5);
    assert_eq!(
        fleet.rollout.state,
        State::Succeeded,
        "the one that refused does not halt it again"
    );
}

#[test]
fn who_never_answers_halts_it_by_name() {
    let mut fleet = Fleet::of(20, "1");
    fleet.look().wait(119 * SECOND);
    assert_eq!(fleet.rollout.state, State::Running);
    fleet.wait(SECOND);
    assert_eq!(fleet.rollout.state, State::Halted);
    let canary = fleet.rollout.members.first().unwrap();
    assert_eq!(fleet.rollout.why, format!("{canary} has not answered in time"));
}

#[test]
fn who_goes_away_in_its_stage_is_waited_for() {
    let mut fleet = Fleet::of(20, "1 30s");
    fleet.look().answer();
    fleet.first().is_connected = false;
    assert_eq!(
        fleet.look().wait(60 * SECOND).given(),
        1,
        "it may have died of it"
    );
    fleet.first().is_connected = true;
    assert_eq!(fleet.look().wait(29 * SECOND).given(), 1, "the stage bakes anew");
    assert_eq!(fleet.wait(SECOND).given(), 20);
}

#[test]
fn a_stage_without_anybody_halts_and_one_of_two_is_enough() {
    let mut fleet = Fleet::of(20, "1");
    fleet.look().first().is_connected = false;
    fleet.look().wait(120 * SECOND);
    assert_eq!(fleet.rollout.state, State::Halted);

    let mut fleet = Fleet::of(20, "2");
    fleet.look().first().is_connected = false;
    fleet.answer().wait(120 * SECOND);
    assert_eq!((fleet.rollout.state, fleet.given()), (State::Running, 20));
}

#[test]
fn without_gateways_it_goes_on_in_its_time_and_who_comes_is_held_to_the_stage() {
    let mut fleet = Fleet::of(0, "1 30s, 50% 30s");
    fleet.look().wait(30 * SECOND);
    assert_eq!(fleet.rollout.stage, 1);
    fleet.gateways = Fleet::of(4, "1").gateways;
    assert_eq!(fleet.look().given(), 2);
    fleet.gateways.clear();
    let mut empty = Fleet::of(0, "1 30s");
    empty.look().wait(30 * SECOND).look();
    assert_eq!(empty.rollout.state, State::Succeeded);
}

#[test]
fn labels_choose_and_without_a_match_one_gateway_goes_first() {
    let mut fleet = Fleet::of(20, "label number=7");
    assert_eq!(fleet.look().given(), 1);
    assert_eq!(fleet.rollout.members.first().unwrap(), "gw-07");
    assert_eq!(Fleet::of(20, "label number=none").look().given(), 1);
}

#[test]
fn two_gateways_get_it_one_by_one() {
    let mut fleet = Fleet::of(2, "100% 1s");
    assert_eq!(fleet.look().given(), 1);
    assert_eq!(fleet.answer().wait(SECOND).given(), 2);
}

const fn fate(requests: u64, error_ratio: f64, p95_ms: u64) -> Fate {
    Fate {
        requests,
        error_ratio,
        p95: Duration::from_millis(p95_ms),
    }
}

#[test]
fn worse_numbers_halt_it() {
    let good = fate(1000, 0.01, 100);
    for (with, without, state) in [
        (good, Some(good), State::Running),
        (fate(1000, 0.025, 100), Some(good), State::Running),
        (fate(1000, 0.5, 100), Some(good), State::Halted),
        (fate(1000, 0.01, 145), Some(good), State::Running),
        (fate(1000, 0.01, 300), Some(good), State::Halted),
        (fate(1000, 0.0, 49), Some(fate(1000, 0.0, 1)), State::Running),
        (fate(1000, 0.5, 100), Some(fate(1000, 0.5, 100)), State::Running),
        (fate(1000, 0.01, 9000), None, State::Running),
        (fate(1000, 0.5, 10), None, State::Halted),
    ] {
        let comparison = Comparison {
            route: "r".to_owned(),
            with,
            without,
        };
        let mut fleet = Fleet::of(20, "1 30s");
        fleet.look().answer().look_with(std::slice::from_ref(&comparison));
        assert_eq!(fleet.rollout.state, state, "{comparison:?}");
    }
}

#[test]
fn few_requests_say_nothing_and_the_past_stands_in_for_others_that_serve_little() {
    let traffic = |answered, failed| Traffic {
        requests: answered + failed,
        answered,
        failures: [("server".into(), failed)].into(),
        ..Traffic::default()
    };
    let compared = |chosen, rest, before| {
        let served = Served { chosen, rest, before };
        Comparison::of(&[(RouteId(uuid::Uuid::nil()), served)].into()).pop()
    };
    assert_eq!(compared(traffic(99, 0), traffic(1000, 0), traffic(0, 0)), None);
    let ratio = |rest, before| {
        let without = compared(traffic(50, 50), rest, before).unwrap().without;
        without.map(|without| without.error_ratio)
    };
    assert_eq!(ratio(traffic(75, 25), traffic(100, 0)), Some(0.25));
    assert_eq!(ratio(traffic(9, 0), traffic(50, 50)), Some(0.5));
    assert_eq!(ratio(traffic(9, 0), traffic(9, 0)), None);
}

#[test]
fn a_paused_rollout_stays_where_it_is_and_bakes_anew() {
    let mut fleet = Fleet::of(20, "1 30s");
    fleet.look().answer();
    fleet.told(Control::Pause).unwrap();
    assert_eq!(fleet.wait(3600 * SECOND).given(), 1);
    fleet.told(Control::Resume).unwrap();
    assert_eq!(fleet.look().wait(29 * SECOND).given(), 1);
    assert_eq!(fleet.wait(SECOND).given(), 20);
    assert_eq!(fleet.told(Control::Abort), Ok(Action::Halt(Cause::Operator)));
}

#[test]
fn a_build_that_cannot_have_it_is_left_out() {
    let mut fleet = Fleet::of(3, "1");
    fleet.gateways[0].is_unable = true;
    fleet.look();
    assert_ne!(fleet.rollout.members.first().unwrap(), "gw-00");
    for gateway in &mut fleet.gateways {
        gateway.runs = !gateway.is_unable;
    }
    fleet.look().look();
    assert_eq!(fleet.rollout.state, State::Succeeded);
}

#[derive(Debug, Clone)]
enum Happening {
    Answer(prop::sample::Index),
    Refuse(prop::sample::Index),
    Leave(prop::sample::Index),
    Return(prop::sample::Index),
    Wait(u64),
    Told(Control),
}

fn happening() -> impl Strategy<Value = Happening> {
    let any_gateway = any::<prop::sample::Index>;
    prop_oneof![
        8 => any_gateway().prop_map(Happening::Answer),
        1 => any_gateway().prop_map(Happening::Refuse),
        2 => any_gateway().prop_map(Happening::Leave),
        2 => any_gateway().prop_map(Happening::Return),
        6 => (0u64..90).prop_map(Happening::Wait),
        1 => prop::sample::select(vec![Control::Pause, Control::Resume]).prop_map(Happening::Told),
    ]
}

proptest! {
    /// Whatever happens: stages are never left out or gone back to, nobody gets it before its stage, and once
    /// somebody who has it refuses, nobody further gets it.
    #[test]
    fn a_change_never_runs_ahead_of_its_stages(
        count in 1usize..12,
        policy in prop::sample::select(vec!["1 30s, 50% 60s", "10%, 20%, 30%", "label number=3 5s"]),
        happenings in prop::collection::vec(happening(), 0..80),
    ) {
        let mut fleet = Fleet::of(count, policy);
        fleet.look();
        for happening in happenings {
            let before = fleet.rollout.clone();
            let refused_before = fleet.gateways.iter().any(|gateway| gateway.refused.is_some());
            match happening {
                Happening::Answer(at) => {
                    let gateway = at.index(count);
                    let is_given = fleet.rollout.includes(&fleet.gateways[gateway].id);
                    fleet.gateways[gateway].runs |= is_given;
                }
                Happening::Refuse(at) => {
                    let gateway = at.index(count);
                    if fleet.rollout.includes(&fleet.gateways[gateway].id) {
                        fleet.gateways[gateway].refused = Some("bad".into());
                    }
                }
                Happening::Leave(at) => fleet.gateways[at.index(count)].is_connected = false,
                Happening::Return(at) => fleet.gateways[at.index(count)].is_connected = true,
                Happening::Wait(seconds) => fleet.now += SECOND * u32::try_from(seconds).unwrap(),
                Happening::Told(control) => {
                    fleet.told(control).ok();
                }
            }
            fleet.look();
            let after = &fleet.rollout;
            prop_assert!(after.stage == before.stage || after.stage == before.stage + 1);
            prop_assert!(before.members.is_subset(&after.members));
            if refused_before {
                prop_assert_eq!((after.stage, &after.members), (before.stage, &before.members));
            }
            if after.stage > before.stage {
                let ran = |id: &String| fleet.gateways.iter().any(|gateway| gateway.id == *id && gateway.runs);
                prop_assert!(before.members.iter().any(ran), "a stage passed that nobody proved");
            }
        }
    }
}
