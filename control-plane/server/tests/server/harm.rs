//! Changes that are valid, that every gateway takes, and that harm.

use tyrscale_proto::v1::{self, RolloutState, resource::Resource as Wire};

use crate::{
    crew::{Member, Temper, all_run, crew},
    plane::{Plane, network, route, upstream},
    reporter::{Reporter, upstream_sample},
    rollout::{roll_out, until_rollout, until_state},
};

/// Four gateways that serve one route and report what comes of it.
struct Traffic {
    plane: Plane,
    crew: Vec<Member>,
    reporters: Vec<Reporter>,
}

impl Traffic {
    async fn start() -> Self {
        // What is reported stands for three intervals, and is passed over within a quarter of one.
        let plane = Plane::start_with(|config| config.telemetry_interval_ms = 2000).await;
        let upstream = Wire::Upstream(upstream(30, 20, 1.0));
        plane
            .put(vec![network("eth", 1), Wire::Route(route(20)), upstream])
            .await;
        let crew = crew(&plane.channel, 4, Temper::Willing, 1).await;
        let mut reporters = Vec::new();
        for member in &crew {
            let mut reporter = Reporter::start(&plane.channel, &member.id).await;
            reporter.report(vec![upstream_sample(1000, 0)], vec![]).await;
            reporters.push(reporter);
        }
        Self {
            plane,
            crew,
            reporters,
        }
    }

    /// Rolls a change out, and gives its first gateway once that runs it.
    async fn roll_out(&mut self) -> String {
        let revision = roll_out(&self.plane, "1 30s", vec![network("eth", 2)]).await;
        assert_eq!(revision, 2);
        let baking = until_rollout(&self.plane, |rollout| rollout.acked.len() == 1).await;
        baking.acked[0].clone()
    }

    /// Reports the same until the rollout is in a state.
    async fn report(
        &mut self,
        first: &str,
        (with, without): (v1::UpstreamSample, v1::UpstreamSample),
        state: RolloutState,
    ) -> v1::Rollout {
        let reporting = async {
            loop {
                for (member, reporter) in self.crew.iter().zip(&mut self.reporters) {
                    let sample = [&without, &with][usize::from(member.id == first)];
                    reporter.report(vec![sample.clone()], vec![]).await;
                }
            }
        };
        tokio::select! {
            rollout = until_state(&self.plane, state) => rollout,
            () = reporting => unreachable!("it reports without end"),
        }
    }

    /// The change went to no gateway but the first, and what it changed is restored on all of them.
    async fn only_saw_it(mut self, first: &str) {
        all_run(&mut self.crew, 3).await;
        for member in &self.crew {
            assert_eq!(
                member.offered_at(2).is_some(),
                member.id == first,
                "{}",
                member.id
            );
        }
        let metrics = self.plane.metrics().await;
        let halts = "tyrscale_rollout_halts_total{cause=\"worse\"} 1";
        assert!(metrics.contains(halts), "{metrics}");
        assert!(metrics.contains("tyrscale_rollout_stage 0"), "{metrics}");
        self.plane.stop().await;
    }
}

/// F19.
#[tokio::test]
async fn a_change_with_which_requests_fail_halts_and_is_reverted_by_itself() {
    let mut traffic = Traffic::start().await;
    let first = traffic.roll_out().await;
    let samples = (upstream_sample(1500, 500), upstream_sample(2000, 2));
    let rollout = traffic.report(&first, samples, RolloutState::Reverted).await;
    assert!(rollout.why.contains("50.0% of 1000 requests"), "{}", rollout.why);
    traffic.only_saw_it(&first).await;
}

#[tokio::test]
async fn a_change_with_which_requests_take_longer_halts_and_is_reverted_by_itself() {
    let mut traffic = Traffic::start().await;
    let first = traffic.roll_out().await;
    let mut slow = upstream_sample(1000, 0);
    // A second and more, each.
    let latency = slow.latency.as_mut().unwrap();
    latency.counts.extend([0; 12]);
    latency.counts.push(1000);
    (slow.requests, slow.answered) = (2000, 2000);
    let samples = (slow, upstream_sample(2000, 0));
    let rollout = traffic.report(&first, samples, RolloutState::Reverted).await;
    assert!(rollout.why.contains("95th percentile"), "{}", rollout.why);
    traffic.only_saw_it(&first).await;
}

#[tokio::test]
async fn a_change_with_which_requests_fare_as_before_goes_on() {
    let mut traffic = Traffic::start().await;
    let revision = roll_out(&traffic.plane, "1 2s", vec![network("eth", 2)]).await;
    let baking = until_rollout(&traffic.plane, |rollout| rollout.acked.len() == 1).await;
    let first = baking.acked[0].clone();
    let samples = (upstream_sample(2000, 500), upstream_sample(2000, 500));
    traffic.report(&first, samples, RolloutState::Succeeded).await;
    all_run(&mut traffic.crew, revision).await;
    traffic.plane.stop().await;
}
