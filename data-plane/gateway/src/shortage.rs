//! Why nobody could take a request, in words that tell no address.

use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tyrscale_balance::{Bar, Facts, Headroom, Obstacle, OutOfReach};
use tyrscale_jsonrpc::{Class, ErrorReply};

/// What stood against the upstreams of a route.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// How many of each kind, by its name.
    reasons: SmallVec<[(Reason, u32); 4]>,
    /// When an upstream may be free again.
    retry_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reason {
    name: &'static str,
    kind: Kind,
}

/// What kind of reason it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Not meant to take requests, or asked already: says nothing.
    Out,
    /// The method is not served.
    Method,
    /// The data is not there.
    Data,
    /// Too much is asked.
    Rate,
    /// It is not in a state to answer.
    Down,
}

impl Shortage {
    pub(crate) fn of(
        obstacles: impl Iterator<Item = Option<Obstacle>>,
        facts: &[Facts],
        retry_at: Option<Instant>,
    ) -> Self {
        let mut reasons: SmallVec<[(Reason, u32); 4]> = SmallVec::new();
        for obstacle in obstacles.flatten() {
            let reason = Reason {
                name: obstacle.name(),
                kind: kind(&obstacle),
            };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += 1,
                None => reasons.push((reason, 1)),
            }
        }
        let ends = facts.iter().filter_map(|facts| match facts.headroom {
            Headroom::At(at) => Some(at),
            _ => facts.exclusion.map(|exclusion| exclusion.until),
        });
        Self {
            reasons,
            retry_at: retry_at.into_iter().chain(ends).min(),
        }
    }

    /// What that is to a client.
    pub(crate) fn reply(&self) -> ErrorReply {
        let mut kinds = self
            .reasons
            .iter()
            .map(|(reason, _)| reason.kind)
            .filter(|kind| *kind != Kind::Out);
        let first = kinds.next();
        match first {
            Some(first) if !kinds.all(|kind| kind == first) => ErrorReply::NoUpstream,
            Some(Kind::Method) => ErrorReply::MethodNotFound,
            Some(Kind::Data) => ErrorReply::Failed(Class::MissingData),
            Some(Kind::Rate) => ErrorReply::RateLimited,
            Some(Kind::Down | Kind::Out) | None => ErrorReply::NoUpstream,
        }
    }

    /// The same in words; `method` is what was asked for, if it was one.
    pub(crate) fn text(&self, method: Option<&str>) -> String {
        let reply = self.reply();
        let mut text = reply.message().to_owned();
        if let (ErrorReply::MethodNotFound, Some(method)) = (reply, method.filter(|it| it.len() <= MAX_NAME))
        {
            return format!("the method {method} is not served");
        }
        for (at, (reason, count)) in self.reasons.iter().enumerate() {
            let separator = if at == 0 { ':' } else { ',' };
            let name = reason.name.replace('_', " ");
            text.push_str(&format!("{separator} {count} {name}"));
        }
        text
    }

    /// After how many seconds an upstream may be free again.
    pub(crate) fn retry_after(&self, now: Instant) -> Option<u64> {
        let wait: Duration = self.retry_at?.saturating_duration_since(now);
        Some(
            wait.as_millis()
                .div_ceil(1000)
                .max(1)
                .try_into()
                .unwrap_or(u64::MAX),
        )
    }
}

/// The longest name of a method that is repeated.
const MAX_NAME: usize = 128;

const fn kind(obstacle: &Obstacle) -> Kind {
    match obstacle {
        Obstacle::Drained | Obstacle::Barred(Bar::Cordoned) | Obstacle::Tried => Kind::Out,
        Obstacle::Barred(Bar::MethodForbidden) | Obstacle::MethodUnsupported => Kind::Method,
        Obstacle::OutOfReach(OutOfReach::Pruned { .. } | OutOfReach::AboveHead { .. }) => Kind::Data,
        Obstacle::Throttled { .. } | Obstacle::Limited { .. } => Kind::Rate,
        Obstacle::Barred(Bar::WrongChain)
        | Obstacle::Excluded(_)
        | Obstacle::Unhealthy
        | Obstacle::BreakerOpen { .. } => Kind::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortage(obstacles: &[Obstacle]) -> Shortage {
        Shortage::of(obstacles.iter().copied().map(Some), &[], None)
    }

    #[test]
    fn the_reasons_are_counted_and_none_is_named_by_its_address() {
        let until = Instant::now();
        let shortage = shortage(&[
            Obstacle::Unhealthy,
            Obstacle::Throttled { until },
            Obstacle::Unhealthy,
            Obstacle::BreakerOpen { until: None },
        ]);
        assert_eq!(shortage.reply(), ErrorReply::NoUpstream);
        assert_eq!(
            shortage.text(None),
            "no upstream available: 2 unhealthy, 1 throttled, 1 breaker open"
        );
    }

    #[test]
    fn what_all_lack_is_told_whoever_is_out_beside_them() {
        let throttled = Obstacle::Throttled {
            until: Instant::now(),
        };
        let pruned = Obstacle::OutOfReach(OutOfReach::Pruned { lowest: 9 });
        for (obstacles, reply) in [
            (
                vec![throttled, Obstacle::Limited { until: None }],
                ErrorReply::RateLimited,
            ),
            (
                vec![Obstacle::Drained, Obstacle::MethodUnsupported],
                ErrorReply::MethodNotFound,
            ),
            (vec![pruned, pruned], ErrorReply::Failed(Class::MissingData)),
            (vec![pruned, throttled], ErrorReply::NoUpstream),
            (vec![Obstacle::Drained], ErrorReply::NoUpstream),
            (vec![], ErrorReply::NoUpstream),
        ] {
            assert_eq!(shortage(&obstacles).reply(), reply, "{obstacles:?}");
        }
        let unsupported = shortage(&[Obstacle::MethodUnsupported]);
        assert_eq!(
            unsupported.text(Some("trace_block")),
            "the method trace_block is not served"
        );
    }

    #[test]
    fn seconds_to_wait_are_whole_and_at_least_one() {
        let now = Instant::now();
        let after = |millis| Shortage {
            retry_at: Some(now + Duration::from_millis(millis)),
            ..Shortage::default()
        };
        let seconds = [0, 999, 1000, 1001].map(|millis| after(millis).retry_after(now));
        assert_eq!(seconds, [Some(1), Some(1), Some(1), Some(2)]);
        assert_eq!(Shortage::default().retry_after(now), None);
    }
}
