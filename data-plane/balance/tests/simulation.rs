//! A gateway's decisions, played against upstreams that fail, hang, throttle, lack data and recover,
//! while clients leave and the configuration changes. Time is simulated, and one seed decides
//! everything, so that a run that breaks a law can be replayed:
//!
//! - `SIMULATION_SEEDS=1000 cargo test -p tyrscale-balance --test simulation` plays more seeds;
//! - `SIMULATION_SEED=42` plays one.
#![cfg(test)]

mod simulation {
    mod dice;
    mod endpoint;
    mod laws;
    mod node;
    mod reload;
    mod world;

    use std::env;
    use std::ops::Range;

    use dice::Dice;
    use world::{Kind, World};

    /// Says which seed a law was broken under.
    struct Seed(u64);

    impl Drop for Seed {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("replay with SIMULATION_SEED={}", self.0);
            }
        }
    }

    fn seeds() -> Range<u64> {
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        match number("SIMULATION_SEED") {
            Some(seed) => seed..seed + 1,
            None => 0..number("SIMULATION_SEEDS").unwrap_or(100),
        }
    }

    fn play(kind: Kind) {
        for seed in seeds() {
            let _named = Seed(seed);
            World::new(kind, Dice::new(seed)).play();
        }
    }

    #[test]
    fn while_one_upstream_is_well_every_request_that_may_be_retried_succeeds() {
        play(Kind::OneIsWell);
    }

    #[test]
    fn when_any_upstream_may_fail_the_laws_hold_all_the_same() {
        play(Kind::AnyMayFail);
    }

    #[test]
    fn while_all_are_well_shares_follow_weights() {
        play(Kind::AllAreWell);
    }
}
