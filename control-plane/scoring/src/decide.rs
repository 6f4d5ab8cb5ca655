//! From scores to weights, within the guards.

use tyrscale_model::{Guards, UpstreamId};

/// A score below which an upstream looks bad: when that of all does, none is believed.
const BAD: f64 = 0.01;
/// Points by which an upstream of which too little is known moves towards its prior in one run; more when less would
/// not be worth a change.
const EXPLORATION: f64 = 2.0;
/// How much more than the least that is worth a change.
const WORTHWHILE: f64 = 1.01;

/// Where an upstream stands before a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Which.
    pub id: UpstreamId,
    /// Its tier; weights count within one.
    pub tier: u32,
    /// What it gets for an equal score, points.
    pub prior: f64,
    /// What it gets now, points.
    pub current: f64,
    /// What the strategy says; `None` when the measurements say too little.
    pub score: Option<f64>,
}

/// Which rule decided a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// No tier has two upstreams that may get a weight.
    NothingToChoose,
    /// No upstream could be scored.
    NothingMeasured,
    /// Every score is bad: back to the prior.
    FailOpen,
    /// The change is too small to be worth it.
    WithinHysteresis,
    /// The last change is too recent.
    Dwelling,
    /// The scores, as far as the largest step goes.
    StepLimited,
    /// The scores.
    Scored,
}

impl Rule {
    /// The word for it in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NothingToChoose => "nothing_to_choose",
            Self::NothingMeasured => "nothing_measured",
            Self::FailOpen => "fail_open",
            Self::WithinHysteresis => "within_hysteresis",
            Self::Dwelling => "dwelling",
            Self::StepLimited => "step_limited",
            Self::Scored => "scored",
        }
    }

    /// Whether weights change by it.
    #[must_use]
    pub const fn changes(self) -> bool {
        matches!(self, Self::FailOpen | Self::StepLimited | Self::Scored)
    }
}

/// What becomes of an upstream's weight, points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moved {
    /// What the scores and the floors alone would give.
    pub target: f64,
    /// What it gets.
    pub after: f64,
}

/// What a run decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What decided.
    pub rule: Rule,
    /// What becomes of each upstream, in the order of the standings.
    pub moved: Vec<Moved>,
    /// Points that would move to the targets, of the tier in which that is most.
    pub distance: f64,
}

/// Decides the weights of a route. `dwelled_ms` is the time since they last changed, `None` when they never did.
#[must_use]
pub fn decide(standings: &[Standing], guards: Guards, dwelled_ms: Option<u64>) -> Decision {
    let held = |rule, targets: Option<&[f64]>, distance| {
        let moved = standings.iter().enumerate().map(|(place, standing)| Moved {
            target: targets
                .and_then(|targets| targets.get(place))
                .copied()
                .unwrap_or(standing.current),
            after: standing.current,
        });
        Decision {
            rule,
            moved: moved.collect(),
            distance,
        }
    };
    let peers = |standing: &Standing| {
        standings
            .iter()
            .filter(|other| other.tier == standing.tier)
            .count()
    };
    if !standings.iter().any(|standing| peers(standing) > 1) {
        return held(Rule::NothingToChoose, None, 0.0);
    }
    if standings.iter().all(|standing| standing.score.is_none()) {
        return held(Rule::NothingMeasured, None, 0.0);
    }
    let all_bad = standings
        .iter()
        .all(|standing| standing.score.is_some_and(|score| score < BAD));
    let targets = if all_bad {
        standings.iter().map(|standing| standing.prior).collect()
    } else {
        targets(standings, guards)
    };
    let distance = distance(standings, &targets);
    if distance < guards.hysteresis() {
        return held(Rule::WithinHysteresis, Some(&targets), distance);
    }
    if dwelled_ms.is_some_and(|dwelled| dwelled < guards.min_dwell_ms()) {
        return held(Rule::Dwelling, Some(&targets), distance);
    }
    let share = step(standings, &targets, guards.max_step());
    let rule = match (all_bad, share < 1.0) {
        (true, _) => Rule::FailOpen,
        (false, true) => Rule::StepLimited,
        (false, false) => Rule::Scored,
    };
    Decision {
        rule,
        moved: moved(standings, &targets, share),
        distance,
    }
}

/// Every weight the same share of its way to its target.
fn moved(standings: &[Standing], targets: &[f64], share: f64) -> Vec<Moved> {
    let each = standings.iter().zip(targets);
    let moved = each.map(|(standing, target)| Moved {
        target: *target,
        after: if share < 1.0 {
            standing.current + (target - standing.current) * share
        } else {
            *target
        },
    });
    moved.collect()
}

/// Points that move between the upstreams of a tier, of the tier in which that is most.
fn distance(standings: &[Standing], targets: &[f64]) -> f64 {
    let of_tier = |tier: u32| -> f64 {
        let each = standings
            .iter()
            .zip(targets)
            .filter(|(standing, _)| standing.tier == tier);
        each.map(|(standing, target)| (target - standing.current).abs())
            .sum::<f64>()
            / 2.0
    };
    standings
        .iter()
        .map(|standing| of_tier(standing.tier))
        .fold(0.0, f64::max)
}

/// How much of the way to the targets the largest step allows.
fn step(standings: &[Standing], targets: &[f64], max_step: f64) -> f64 {
    let each = standings.iter().zip(targets);
    let farthest = each
        .map(|(standing, target)| (target - standing.current).abs())
        .fold(0.0, f64::max);
    if farthest > max_step {
        max_step / farthest
    } else {
        1.0
    }
}

fn targets(standings: &[Standing], guards: Guards) -> Vec<f64> {
    let mut targets = vec![0.0; standings.len()];
    let mut tiers: Vec<u32> = standings.iter().map(|standing| standing.tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    for tier in tiers {
        let members = |(_, standing): &(usize, &Standing)| standing.tier == tier;
        let places: Vec<usize> = standings
            .iter()
            .enumerate()
            .filter(members)
            .map(|(place, _)| place)
            .collect();
        let of_tier: Vec<Standing> = places
            .iter()
            .filter_map(|place| standings.get(*place))
            .copied()
            .collect();
        for (place, target) in places.into_iter().zip(tier_targets(&of_tier, guards)) {
            if let Some(slot) = targets.get_mut(place) {
                *slot = target;
            }
        }
    }
    targets
}

/// The targets of one tier: they sum to 100 and respect floor and usable weight.
fn tier_targets(standings: &[Standing], guards: Guards) -> Vec<f64> {
    let pace = EXPLORATION.max(guards.hysteresis() * WORTHWHILE);
    let drift = |standing: &Standing| (standing.prior - standing.current).clamp(-pace, pace);
    let wish = |standing: &Standing| standing.score.map(|score| standing.prior * score);
    let unknown: f64 = standings
        .iter()
        .filter(|standing| standing.score.is_none())
        .map(|standing| standing.current + drift(standing))
        .sum();
    let wished: f64 = standings.iter().filter_map(wish).sum();
    let known_priors: f64 = standings
        .iter()
        .filter(|standing| standing.score.is_some())
        .map(|standing| standing.prior)
        .sum();
    let rest = (100.0 - unknown).max(0.0);
    let raw = standings.iter().map(|standing| match wish(standing) {
        Some(wish) if wished > 0.0 => wish / wished * rest,
        // None of those that are known is any good: what is left goes by their priors.
        Some(_) => standing.prior / known_priors * rest,
        None => standing.current + drift(standing),
    });
    let raw: Vec<f64> = raw.collect();
    raised(&raw, &floors(standings, &raw, guards))
}

/// What each gets at least: the usable weight for the best of them, the floor for the others.
fn floors(standings: &[Standing], raw: &[f64], guards: Guards) -> Vec<f64> {
    let count = standings.len();
    let mut order: Vec<usize> = (0..count).collect();
    let key = |place: &usize| {
        let weight = raw.get(*place).copied().unwrap_or_default();
        let standing = standings.get(*place);
        (
            weight,
            standing.map_or(0.0, |standing| standing.prior),
            standing.map(|standing| standing.id),
        )
    };
    order.sort_by(|one, other| {
        let ((weight, prior, id), (weight_2, prior_2, id_2)) = (key(one), key(other));
        let by_weight = weight_2.total_cmp(&weight).then(prior_2.total_cmp(&prior));
        by_weight.then(id.cmp(&id_2))
    });
    let mut floors = vec![guards.floor_weight(count); count];
    for place in order.into_iter().take(guards.min_usable()) {
        if let Some(floor) = floors.get_mut(place) {
            *floor = guards.usable_weight(count);
        }
    }
    floors
}

/// Raises what is below its floor and takes that from what is above, in proportion, so that the sum is 100.
fn raised(raw: &[f64], floors: &[f64]) -> Vec<f64> {
    let mut low: Vec<bool> = vec![false; raw.len()];
    loop {
        let fixed: f64 = floors
            .iter()
            .zip(&low)
            .filter(|(_, low)| **low)
            .map(|(floor, _)| floor)
            .sum();
        let above: f64 = raw
            .iter()
            .zip(&low)
            .filter(|(_, low)| !**low)
            .map(|(raw, _)| raw)
            .sum();
        let scale = if above > 0.0 {
            (100.0 - fixed).max(0.0) / above
        } else {
            0.0
        };
        let mut grew = false;
        for ((low, raw), floor) in low.iter_mut().zip(raw).zip(floors) {
            if !*low && raw * scale < *floor {
                (*low, grew) = (true, true);
            }
        }
        if !grew {
            let each = low.iter().zip(raw).zip(floors);
            return each
                .map(|((low, raw), floor)| if *low { *floor } else { raw * scale })
                .collect();
        }
    }
}
