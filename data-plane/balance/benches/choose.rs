//! What choosing an upstream costs: `cargo bench -p tyrscale-balance`.

use std::hash::RandomState;
use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use tyrscale_balance::{
    Ask, Facts, KeyedLimiter, Member, PeakEwma, Rate, RetryBudget, Selector, SelectorSettings, Strategy,
    TokenBucket,
};

fn main() {
    divan::main();
}

const UPSTREAMS: [usize; 3] = [3, 16, 100];

/// One choice among `upstreams` that are all eligible, in two tiers.
fn choose(bencher: Bencher<'_, '_>, strategy: Strategy, upstreams: usize) {
    let now = Instant::now();
    let members: Vec<Member> = (0..upstreams)
        .map(|position| Member {
            weight: 1.5,
            tier: u32::from(position >= upstreams.div_ceil(2)),
        })
        .collect();
    let facts: Vec<Facts> = (1..)
        .take(upstreams)
        .map(|nth| Facts {
            in_flight: nth % 7,
            latency: Some(Duration::from_millis(nth.into()).into()),
            ..Facts::default()
        })
        .collect();
    let selector = Selector::new(SelectorSettings::new(strategy), &members, now);
    let mut random = 0_u64;
    bencher.bench_local(|| {
        random = random.wrapping_add(1);
        let ask = Ask {
            now,
            random,
            patience: now,
        };
        selector.select(black_box(&facts), &ask)
    });
}

#[divan::bench(args = UPSTREAMS)]
fn weight_round_robin(bencher: Bencher<'_, '_>, upstreams: usize) {
    choose(bencher, Strategy::WeightRoundRobin, upstreams);
}

#[divan::bench(args = UPSTREAMS)]
fn least_load(bencher: Bencher<'_, '_>, upstreams: usize) {
    choose(bencher, Strategy::LeastLoad, upstreams);
}

#[divan::bench(args = UPSTREAMS)]
fn failover_priority(bencher: Bencher<'_, '_>, upstreams: usize) {
    choose(bencher, Strategy::FailoverPriority, upstreams);
}

#[divan::bench(args = UPSTREAMS)]
fn peak_ewma(bencher: Bencher<'_, '_>, upstreams: usize) {
    choose(bencher, Strategy::PeakEwma, upstreams);
}

#[divan::bench]
fn observe_latency(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let ewma = PeakEwma::new(PeakEwma::DECAY, now);
    bencher.bench(|| ewma.observe(black_box(Duration::from_millis(3)), now));
}

#[divan::bench]
fn take_token(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let Some(rate) = Rate::new(1e9, u32::MAX) else {
        return;
    };
    let mut bucket = TokenBucket::new(rate, now);
    bencher.bench_local(|| bucket.try_take(black_box(now)));
}

#[divan::bench]
fn pass_a_key(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let Some(rate) = Rate::new(1e9, u32::MAX) else {
        return;
    };
    let limiter = KeyedLimiter::new(rate, 10_000, RandomState::new());
    let mut key = 0_u32;
    bencher.bench_local(|| {
        key = (key + 1) % 20_000;
        limiter.try_pass(&key, now)
    });
}

#[divan::bench]
fn retry_budget(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let budget = RetryBudget::new(0.2, 10.0, now);
    bencher.bench(|| {
        budget.on_request(now);
        budget.try_retry(now)
    });
}
