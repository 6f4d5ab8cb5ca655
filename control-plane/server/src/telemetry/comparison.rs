//! What some nodes served against what the others did: whether a change is for the better. Pure.

use std::collections::BTreeMap;

use tyrscale_model::{RouteId, Traffic, UpstreamId};

use super::Process;

/// What each live gateway counted of each upstream since its boot, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Served(pub(super) BTreeMap<Process, BTreeMap<UpstreamId, (RouteId, Traffic)>>);

/// What the gateways of a set served of a route over a time, and what the others did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// The set's. Its [`Traffic::error_ratio`] and `latency.quantile(0.95)` are what to compare.
    pub chosen: Traffic,
    /// The others'.
    pub rest: Traffic,
    /// The set's up to then, since it counts.
    pub before: Traffic,
}

impl Comparison {
    /// Adds what another control plane compared.
    pub(super) fn merge(&mut self, other: &Self) {
        self.chosen.merge(&other.chosen);
        self.rest.merge(&other.rest);
        self.before.merge(&other.before);
    }
}

impl Served {
    /// By route, what came since `earlier` of the nodes for which `is_chosen` holds, and of the others. Counts only
    /// those that reported both times, without a restart in between: of others it is not known when they counted.
    #[must_use]
    pub fn compare(&self, earlier: &Self, is_chosen: impl Fn(&str) -> bool) -> BTreeMap<RouteId, Comparison> {
        let mut routes: BTreeMap<RouteId, Comparison> = BTreeMap::new();
        for (process, upstreams) in &self.0 {
            let Some(before) = earlier.0.get(process) else {
                continue;
            };
            for (id, (route, traffic)) in upstreams {
                let counted = before.get(id).map(|(_, counted)| counted);
                // An upstream that came, or came anew, counts from 0.
                let news = counted.and_then(|counted| traffic.since(counted));
                let news = news.unwrap_or_else(|| traffic.clone());
                let comparison = routes.entry(*route).or_default();
                if is_chosen(&process.node) {
                    comparison.chosen.merge(&news);
                    counted
                        .into_iter()
                        .for_each(|counted| comparison.before.merge(counted));
                } else {
                    comparison.rest.merge(&news);
                }
            }
        }
        routes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(answered: u64, failed: u64) -> Traffic {
        Traffic {
            requests: answered + failed,
            answered,
            failures: BTreeMap::from([("server".into(), failed)]),
            ..Traffic::default()
        }
    }

    fn served(of: &[(&str, &str, u64, u64)]) -> Served {
        let route: RouteId = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let upstream: UpstreamId = "00000000-0000-4000-8000-000000000002".parse().unwrap();
        let one = |(node, boot, answered, failed): &(&str, &str, u64, u64)| {
            let process = Process {
                node: (*node).to_owned(),
                boot: (*boot).to_owned(),
            };
            let counted = BTreeMap::from([(upstream, (route, traffic(*answered, *failed)))]);
            (process, counted)
        };
        Served(of.iter().map(one).collect())
    }

    #[test]
    fn a_set_is_held_against_the_rest_by_what_came_meanwhile() {
        let before = served(&[("a", "1", 100, 50), ("b", "1", 10, 0), ("c", "1", 7, 7)]);
        let after = served(&[
            ("a", "1", 190, 60),
            ("b", "1", 110, 0),
            ("c", "2", 500, 500),
            ("d", "1", 9, 9),
        ]);
        let compared = after.compare(&before, |node| node == "a");
        let [comparison] = compared.values().collect::<Vec<_>>()[..] else {
            panic!("one route: {compared:?}")
        };
        assert_eq!(comparison.chosen.error_ratio(), Some(0.1));
        assert_eq!(
            comparison.rest,
            traffic(100, 0).since(&Traffic::default()).unwrap()
        );
        assert_eq!(comparison.before, traffic(100, 50));
    }
}
