//! Which upstream takes a request: the one entry that the gateway asks before each attempt.
//!
//! A [`Selector`] holds what the configuration says of a route's upstreams (strategy, weights,
//! tiers); [`Facts`] say, for the moment of one request, what is known of each. [`Selector::select`]
//! prefers, in this order:
//!
//! 1. an upstream that nothing stands against, in the [tier](crate::TierSettings) whose turn it is,
//!    else in the next; among these one that is known to have the block over one that may have it;
//! 2. waiting, when somebody would take the request within the caller's patience, and only a rate, a
//!    slot or a throttle's end is missing;
//! 3. **fail-open**, as far as [`FailOpen`] allows: when no upstream at all looks good, those that are
//!    unhealthy or whose breaker is open, first tier first, also with an open breaker those that a probe has found good
//!    since; after them those that rest for a bill or a
//!    key. An upstream that just failed this request looks good as long as its state does, so one
//!    failed attempt opens nothing.
//!
//! What is drained, barred, tried, throttled, out of its limits, without the method or without the
//! block is never used, not even then. Each upstream's [`Obstacle`] is there for the asking
//! ([`Selector::obstacles`]).
//!
//! Whoever ramps ([`Onset`](crate::Onset)) takes part in some of the picks only: in as many as its
//! ramp says, compared with the furthest of those left. So all strategies ramp alike, also those that
//! would otherwise keep to the best until the ramp has passed it.

mod pair;
mod racers;
mod scratch;

use std::time::Instant;

pub use self::racers::Racers;
use self::scratch::Scratch;
use crate::draws::Draws;
use crate::facts::{BreakerView, Facts, Headroom, Obstacle, Remedy};
use crate::picker::{Candidate, Picker, Strategy};
use crate::reach::Reach;
use crate::tiers::{MAX_TIERS, TierHealth, TierSettings, Tiers};

/// What the configuration says of one upstream of a route.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// Its share; zero drains it.
    pub weight: f64,
    /// Lower ones first. Only the order counts, so tiers may be numbered with gaps.
    pub tier: u32,
}

/// Which upstreams may be used although they look bad, when all do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FailOpen {
    /// None.
    Never,
    /// Those that only their health speaks against: a probe can be wrong about all at once. Breakers
    /// have seen requests fail and try again by themselves, so they are believed, until a probe has seen more than
    /// they have ([`BreakerView::Outdated`]).
    #[default]
    Unhealthy,
    /// Those with an open breaker too, and in the last resort those that rest for a bill or a key.
    All,
}

/// How a route chooses among its upstreams.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelectorSettings {
    /// Who goes first within a tier.
    pub strategy: Strategy,
    /// How load flows between tiers.
    pub tiers: TierSettings,
    /// What happens when all look bad.
    pub fail_open: FailOpen,
}

impl SelectorSettings {
    /// A strategy, and the rest as it is by default.
    #[must_use]
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            tiers: TierSettings::default(),
            fail_open: FailOpen::default(),
        }
    }
}

/// One question to a [`Selector`].
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// The present.
    pub now: Instant,
    /// Evenly drawn from all of `u64`.
    pub random: u64,
    /// Until when the request could wait; `now` when it cannot.
    pub patience: Instant,
}

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Send it to the upstream at `position`.
    Take {
        /// Its position among the facts.
        position: usize,
        /// Whether something stands against the upstream and it is used for want of a better one.
        /// Count these, and send past a breaker that refuses with
        /// [`Permit::uncounted`](crate::Permit::uncounted).
        fail_open: bool,
    },
    /// Ask again at `until` or when one of the requests in flight has ended, if `for_slot`;
    /// whichever comes first.
    Wait {
        /// When an upstream is free again; within the patience.
        until: Option<Instant>,
        /// Whether a request that ends lets this one pass.
        for_slot: bool,
    },
    /// Nobody can take it.
    Nobody {
        /// When an upstream may be free again, after the patience has ended: for `Retry-After`.
        retry_at: Option<Instant>,
    },
}

/// Chooses among the upstreams of one route, known by their position: members at construction and
/// facts at each question stand in the same order.
#[derive(Debug)]
pub struct Selector {
    picker: Picker,
    fail_open: FailOpen,
    /// Each upstream's tier, numbered from 0 without gaps.
    tier_of: Vec<usize>,
    tiers: Tiers,
}

impl Selector {
    /// A selector that starts from nothing.
    #[must_use]
    pub fn new(settings: SelectorSettings, members: &[Member], now: Instant) -> Self {
        let tier_of = dense_tiers(members);
        let count = tier_of.iter().max().map_or(1, |last| last + 1);
        Self {
            picker: Picker::new(settings.strategy, &weights(members)),
            fail_open: settings.fail_open,
            tier_of,
            tiers: Tiers::new(settings.tiers, count, now),
        }
    }

    /// A selector for a changed configuration that goes on where this one is. `carried` says, for
    /// each new member, which position it has in this one (`None`: it is new).
    #[must_use]
    pub fn rebuilt(
        &self,
        settings: SelectorSettings,
        members: &[Member],
        carried: &[Option<usize>],
        now: Instant,
    ) -> Self {
        let next = Self::new(settings, members, now);
        Self {
            picker: self.picker.rebuilt(settings.strategy, &weights(members), carried),
            tiers: next.tiers.continuing(&self.tiers),
            ..next
        }
    }

    /// What to do with a request. Allocates nothing for up to 16 upstreams.
    pub fn select(&self, facts: &[Facts], ask: &Ask) -> Choice {
        let mut draws = Draws::new(ask.random);
        let survey = self.survey(facts);
        if survey.eligible > 0 {
            let first = self.tiers.choose(&survey.health, ask.now, draws.unit());
            for tier in in_turn(first) {
                let open = |position| self.is_eligible(position, facts, tier, survey.sure_in(tier));
                if let Some(position) = self.pick(facts, open, &mut draws) {
                    return Choice::Take {
                        position,
                        fail_open: false,
                    };
                }
            }
        }
        let until = survey.soonest.filter(|soonest| *soonest <= ask.patience);
        let for_slot = survey.for_slot && ask.now < ask.patience;
        if until.is_some() || for_slot {
            return Choice::Wait { until, for_slot };
        }
        let position = if survey.somebody_looks_good {
            None
        } else {
            self.pick_in_spite(facts, &mut draws)
        };
        match position {
            Some(position) => Choice::Take {
                position,
                fail_open: true,
            },
            None => Choice::Nobody {
                retry_at: earlier(survey.soonest, survey.soonest_return),
            },
        }
    }

    /// Whom to ask at the same time, at most `width` (and [`Racers::MOST`]), the strategy's first
    /// choice first: all in the tier whose turn it is, or the first with anybody eligible. When
    /// nobody is eligible there is no race, and [`select`](Self::select) says what else to do.
    pub fn racers(&self, facts: &[Facts], ask: &Ask, width: usize) -> Racers {
        let mut racers = Racers::default();
        let mut draws = Draws::new(ask.random);
        let survey = self.survey(facts);
        if survey.eligible == 0 {
            return racers;
        }
        let first = self.tiers.choose(&survey.health, ask.now, draws.unit());
        for tier in in_turn(first) {
            while racers.len() < width.min(Racers::MOST) {
                let open = |position| {
                    self.is_eligible(position, facts, tier, survey.sure_in(tier))
                        && !racers.contains(position)
                };
                match self.pick(facts, open, &mut draws) {
                    Some(position) => racers.push(position),
                    None => break,
                }
            }
            if !racers.is_empty() {
                break;
            }
        }
        racers
    }

    /// What stands against each upstream; `None` for one that is eligible.
    pub fn obstacles<'a>(&'a self, facts: &'a [Facts]) -> impl Iterator<Item = Option<Obstacle>> + 'a {
        self.members(facts)
            .map(|(position, _, facts)| self.obstacle(position, facts))
    }

    fn obstacle(&self, position: usize, facts: &Facts) -> Option<Obstacle> {
        if self.picker.is_drained(position) {
            return Some(Obstacle::Drained);
        }
        facts.obstacle()
    }

    /// Position, tier and facts of each upstream.
    fn members<'a>(&'a self, facts: &'a [Facts]) -> impl Iterator<Item = (usize, usize, &'a Facts)> {
        let tiers = self.tier_of.iter().copied();
        tiers
            .zip(facts)
            .enumerate()
            .map(|(position, (tier, facts))| (position, tier, facts))
    }

    /// One look at everybody.
    fn survey(&self, facts: &[Facts]) -> Survey {
        let mut survey = Survey::default();
        for (position, tier, facts) in self.members(facts) {
            if self.picker.is_drained(position) || facts.bar.is_some() {
                continue;
            }
            if let Some(health) = survey.health.get_mut(tier) {
                health.total += 1;
                health.healthy += u32::from(facts.is_sound());
            }
            let obstacle = facts.obstacle();
            survey.somebody_looks_good |= obstacle.is_none() || facts.obstacle_for_anyone().is_none();
            match obstacle.map(|obstacle| obstacle.remedy()) {
                None => {
                    survey.eligible += 1;
                    if let Some(sure) = survey.sure.get_mut(tier) {
                        *sure |= facts.reach == Reach::Yes;
                    }
                }
                Some(Remedy::Wait(None)) => survey.for_slot = true,
                Some(Remedy::Wait(until)) => survey.soonest = earlier(survey.soonest, until),
                Some(Remedy::Return(until) | Remedy::Account(until)) => {
                    survey.soonest_return = earlier(survey.soonest_return, until);
                }
                Some(Remedy::None | Remedy::Doubt) => {}
            }
        }
        survey
    }

    fn is_eligible(&self, position: usize, facts: &[Facts], tier: usize, sure: bool) -> bool {
        facts.get(position).is_some_and(|facts| {
            self.tier_of.get(position) == Some(&tier)
                && self.obstacle(position, facts).is_none()
                && (!sure || facts.reach == Reach::Yes)
        })
    }

    /// The choice among those that look bad.
    fn pick_in_spite(&self, facts: &[Facts], draws: &mut Draws) -> Option<usize> {
        let last_resorts = [false, true];
        last_resorts.into_iter().find_map(|last_resort| {
            in_turn(0).find_map(|tier| {
                let open = |position| {
                    self.tier_of.get(position) == Some(&tier)
                        && facts
                            .get(position)
                            .is_some_and(|facts| self.opens(position, facts, last_resort))
                };
                self.pick(facts, open, draws)
            })
        })
    }

    /// Whether an upstream may be used in spite of what stands against it. Limits hold all the same.
    fn opens(&self, position: usize, facts: &Facts, last_resort: bool) -> bool {
        let is_outdated =
            matches!(facts.breaker, BreakerView::Outdated { .. }) && self.fail_open != FailOpen::Never;
        let allowed = match self.obstacle(position, facts).map(|obstacle| obstacle.remedy()) {
            Some(Remedy::Doubt) => !last_resort && self.fail_open != FailOpen::Never,
            Some(Remedy::Return(_)) => !last_resort && (self.fail_open == FailOpen::All || is_outdated),
            Some(Remedy::Account(_)) => last_resort && self.fail_open == FailOpen::All,
            Some(Remedy::None | Remedy::Wait(_)) | None => false,
        };
        let believed =
            self.fail_open != FailOpen::All && !is_outdated && facts.breaker != BreakerView::Willing;
        allowed && !believed && facts.headroom == Headroom::Free
    }

    /// The strategy's choice among those that are `open`.
    fn pick(&self, facts: &[Facts], open: impl Fn(usize) -> bool, draws: &mut Draws) -> Option<usize> {
        let mut scratch = Scratch::<Candidate>::default();
        let candidates = scratch.take(facts.len());
        let mut furthest: Option<f64> = None;
        for (candidate, (position, _, facts)) in candidates.iter_mut().zip(self.members(facts)) {
            *candidate = Candidate {
                in_flight: facts.in_flight,
                eligible: open(position),
                latency: facts.latency,
            };
            if candidate.eligible {
                let ramp = facts.ramp.get();
                furthest = Some(furthest.map_or(ramp, |furthest| furthest.max(ramp)));
            }
        }
        let furthest = furthest?;
        for (candidate, facts) in candidates.iter_mut().zip(facts) {
            // Who is furthest always takes part, so somebody is left.
            candidate.eligible = candidate.eligible
                && (facts.ramp.get() >= furthest || draws.unit() * furthest < facts.ramp.get());
        }
        self.picker.pick(candidates, draws.bits())
    }
}

/// What one look at a route's upstreams shows.
#[derive(Debug, Default)]
struct Survey {
    health: [TierHealth; MAX_TIERS],
    /// Whether a tier has an eligible upstream that is known to have the block.
    sure: [bool; MAX_TIERS],
    eligible: u32,
    somebody_looks_good: bool,
    /// When the first is free that the request could wait for.
    soonest: Option<Instant>,
    /// When the first is tried again that the request does not wait for.
    soonest_return: Option<Instant>,
    for_slot: bool,
}

impl Survey {
    fn sure_in(&self, tier: usize) -> bool {
        self.sure.get(tier).is_some_and(|sure| *sure)
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// All tiers: `first`, then the others from the top.
fn in_turn(first: usize) -> impl Iterator<Item = usize> {
    std::iter::once(first).chain((0..MAX_TIERS).filter(move |tier| *tier != first))
}

fn weights(members: &[Member]) -> Vec<f64> {
    members.iter().map(|member| member.weight).collect()
}

/// Each member's tier, numbered from 0 without gaps; what is beyond the last counts with it.
fn dense_tiers(members: &[Member]) -> Vec<usize> {
    let mut ranks: Vec<u32> = members.iter().map(|member| member.tier).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let rank = |tier| ranks.iter().position(|rank| *rank == tier).unwrap_or(0);
    members
        .iter()
        .map(|member| rank(member.tier).min(MAX_TIERS - 1))
        .collect()
}

#[cfg(test)]
mod tests;
