use super::*;

fn at(start: Now, seconds: u64) -> Now {
    Now {
        instant: start.instant + Duration::from_secs(seconds),
        unix_ms: start.unix_ms + seconds * 1_000,
    }
}

fn start() -> Now {
    Now {
        instant: Instant::now(),
        unix_ms: 1_700_000_000_000,
    }
}

#[test]
fn grows_one_block_each_block_time_and_stamps_it_when_made() {
    let t0 = start();
    let mut chain = Chain::new(1, 100, Some(Duration::from_secs(2)), t0);
    chain.advance(at(t0, 5));
    assert_eq!(chain.head(), 102);
    assert_eq!(chain.block(102).unwrap()["timestamp"], quantity(1_700_000_004));
    chain.advance(at(t0, 6));
    assert_eq!(chain.head(), 103);
    assert_eq!(chain.block(102).unwrap()["timestamp"], quantity(1_700_000_004));
}

#[test]
fn frozen_chain_stands_still_and_catches_up() {
    let t0 = start();
    let mut chain = Chain::new(1, 100, Some(Duration::from_secs(2)), t0);
    chain.frozen = true;
    chain.advance(at(t0, 10));
    assert_eq!(chain.head(), 100);
    chain.frozen = false;
    chain.advance(at(t0, 10));
    assert_eq!(chain.head(), 105);
}

#[test]
fn reorg_changes_the_last_hashes_and_keeps_the_heights() {
    let mut chain = Chain::new(1, 100, None, start());
    let before: Vec<_> = (97..=101).map(|height| chain.hash(height)).collect();
    chain.reorg(2);
    let after: Vec<_> = (97..=101).map(|height| chain.hash(height)).collect();
    assert_eq!(chain.head(), 100);
    assert_eq!(before[..2], after[..2]);
    assert!(before[2..].iter().zip(&after[2..]).all(|(old, new)| old != new));
    chain.reorg(3);
    assert_ne!(chain.hash(99), after[2]);
    assert_ne!(chain.hash(98), before[1]);
}

#[test]
fn blocks_link_to_their_parents_and_are_found_by_hash() {
    let chain = Chain::new(7, 100, None, start());
    let block = chain.block(100).unwrap();
    assert_eq!(block["parentHash"], chain.block(99).unwrap()["hash"]);
    let found = chain.block_by_hash(block["hash"].as_str().unwrap()).unwrap();
    assert_eq!(found["number"], "0x64");
    assert!(chain.block(101).is_none());
}

#[test]
fn lag_lowers_every_answer_about_the_head() {
    let mut chain = Chain::new(7, 100, None, start());
    chain.lag = 5;
    assert_eq!(chain.resolve("latest"), Some(95));
    assert!(chain.block(96).is_none());
    assert_eq!(chain.resolve("0x60"), Some(96));
    assert_eq!(chain.resolve("ninety"), None);
}

#[test]
fn chains_with_other_ids_have_other_hashes() {
    let now = start();
    assert_ne!(
        Chain::new(1, 9, None, now).hash(9),
        Chain::new(2, 9, None, now).hash(9)
    );
    assert_eq!(
        Chain::new(1, 9, None, now).hash(9),
        Chain::new(1, 9, None, now).hash(9)
    );
}

#[test]
fn tags_and_hashes_may_be_set_by_hand() {
    let mut chain = Chain::new(1, 100, None, start());
    assert_eq!(
        (chain.resolve("safe"), chain.resolve("finalized")),
        (Some(68), Some(36))
    );
    (chain.safe, chain.finalized) = (Some(90), Some(80));
    assert_eq!(
        (chain.resolve("safe"), chain.resolve("finalized")),
        (Some(90), Some(80))
    );
    chain.give_hash(100, BlockHash::filled(0xab));
    let block = chain.block(100).unwrap();
    assert_eq!(block["hash"], format!("0x{}", "ab".repeat(32)));
    assert_eq!(block["parentHash"], chain.hash(99).to_hex());
}

#[test]
fn pruned_blocks_are_gone() {
    let mut chain = Chain::new(1, 100, None, start());
    chain.lowest_block = 50;
    assert!(chain.block(49).is_none());
    assert!(chain.block(50).is_some());
}
