//! The configuration, and how it changes.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tyrscale_balance::{FailOpen, Member, Selector, SelectorSettings, Strategy, TierSettings};

use super::dice::Dice;
use super::endpoint::Endpoint;
use super::node::Node;

/// One upstream of the route: what it is, what the gateway keeps of it, what the configuration says.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) id: u64,
    pub(super) node: Rc<RefCell<Node>>,
    pub(super) endpoint: Rc<RefCell<Endpoint>>,
    pub(super) member: Member,
}

pub(super) const STRATEGIES: [Strategy; 4] = [
    Strategy::WeightRoundRobin,
    Strategy::LeastLoad,
    Strategy::FailoverPriority,
    Strategy::PeakEwma,
];

pub(super) fn settings(strategy: Strategy, dice: &mut Dice) -> SelectorSettings {
    SelectorSettings {
        strategy,
        tiers: TierSettings::new(1.4, Duration::from_secs(3)),
        fail_open: dice.among(&[FailOpen::Never, FailOpen::Unhealthy, FailOpen::All]),
    }
}

pub(super) fn member(dice: &mut Dice) -> Member {
    let tenths = u32::try_from(dice.between(1, 1_000)).unwrap();
    Member {
        weight: if dice.one_in(6) {
            0.0
        } else {
            f64::from(tenths) / 10.0
        },
        tier: u32::try_from(dice.between(0, 2)).unwrap(),
    }
}

pub(super) fn upstream(id: u64, node: Node, limited: bool, dice: &mut Dice, now: Instant) -> Upstream {
    Upstream {
        id,
        node: Rc::new(RefCell::new(node)),
        endpoint: Rc::new(RefCell::new(Endpoint::new(limited, dice, now))),
        member: member(dice),
    }
}

/// Changes weights, tiers and cordons, and brings and takes upstreams, but leaves the one with the id
/// `spared` in service.
pub(super) fn change(
    route: &mut Vec<Upstream>,
    next_id: u64,
    spared: Option<u64>,
    dice: &mut Dice,
    now: Instant,
) {
    for upstream in &mut *route {
        if dice.one_in(3) {
            upstream.member = member(dice);
        }
        upstream.endpoint.borrow_mut().cordoned = dice.one_in(8) && Some(upstream.id) != spared;
        if Some(upstream.id) == spared {
            upstream.member.weight = upstream.member.weight.max(1.0);
        }
    }
    if dice.one_in(3) {
        route.retain(|upstream| Some(upstream.id) == spared || !dice.one_in(4));
    }
    if route.len() < 6 && dice.one_in(2) {
        let node = Node::random(dice);
        let place = usize::try_from(dice.between(0, route.len() as u64)).unwrap();
        route.insert(place, upstream(next_id, node, true, dice, now));
    }
}

/// The selector for `route` that goes on where `before` was for `old`.
pub(super) fn selector(
    before: &Selector,
    old: &[u64],
    route: &[Upstream],
    dice: &mut Dice,
    now: Instant,
) -> Selector {
    let carried: Vec<Option<usize>> = route
        .iter()
        .map(|upstream| old.iter().position(|id| *id == upstream.id))
        .collect();
    let strategy = dice.among(&STRATEGIES);
    before.rebuilt(settings(strategy, dice), &members(route), &carried, now)
}

pub(super) fn members(route: &[Upstream]) -> Vec<Member> {
    route.iter().map(|upstream| upstream.member).collect()
}
