//! Who measures what: each rpc goes to the member with the highest score for it, so that one that comes or goes moves
//! only its own share. Pure.
//!
//! Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998); the weighted score
//! -w / ln(h), h uniform in (0, 1), is from Schindelhauer and Schomaker (2005).

use std::collections::BTreeMap;

use tyrscale_model::RpcId;

use super::leases::Members;

/// The rpcs of each member, in order. Every rpc is in exactly one share, as long as there are members.
pub(super) fn shares(
    members: &Members,
    rpcs: impl IntoIterator<Item = RpcId>,
) -> BTreeMap<String, Vec<RpcId>> {
    let mut shares: BTreeMap<String, Vec<RpcId>> =
        members.keys().map(|id| (id.clone(), Vec::new())).collect();
    let seeds: Vec<(&String, u64, f64)> = members
        .iter()
        .map(|(id, capacity)| (id, seed(id), f64::from(*capacity)))
        .collect();
    for rpc in rpcs {
        let score = |(_, seed, capacity): &&(&String, u64, f64)| score(*seed, rpc, *capacity);
        let best = seeds
            .iter()
            .max_by(|one, other| score(one).total_cmp(&score(other)));
        if let Some(share) = best.and_then(|(id, ..)| shares.get_mut(*id)) {
            share.push(rpc);
        }
    }
    shares.values_mut().for_each(|share| share.sort_unstable());
    shares
}

fn score(seed: u64, rpc: RpcId, capacity: f64) -> f64 {
    let (high, low) = rpc.0.as_u64_pair();
    let hash = mix(mix(seed ^ high) ^ low);
    // 53 bits: what a float tells apart, and never 0 or 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let uniform = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -capacity / uniform.ln()
}

/// FNV-1a of the id, mixed.
fn seed(id: &str) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mix(id.bytes().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// The finalizer of `SplitMix64`.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const RPCS: u128 = 3_000;

    fn rpcs() -> impl Iterator<Item = RpcId> {
        (0..RPCS).map(|number| RpcId(Uuid::from_u128(number)))
    }

    fn owners(members: &Members) -> HashMap<RpcId, String> {
        let mut owners = HashMap::new();
        for (member, share) in shares(members, rpcs()) {
            for rpc in share {
                assert_eq!(owners.insert(rpc, member.clone()), None, "in two shares");
            }
        }
        owners
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn one_that_goes_moves_its_own_share_only(
            ids in proptest::collection::btree_set("[a-z0-9-]{1,20}", 2..9),
            which in any::<prop::sample::Index>(),
        ) {
            let members: Members = ids.iter().map(|id| (id.clone(), 1)).collect();
            let before = owners(&members);
            prop_assert_eq!(before.len() as u128, RPCS);
            let gone = ids.iter().nth(which.index(ids.len())).unwrap();
            let mut left = members.clone();
            left.remove(gone);
            let after = owners(&left);
            prop_assert_eq!(after.len() as u128, RPCS);
            for (rpc, owner) in &before {
                prop_assert!(owner == gone || after[rpc] == *owner);
            }
            let fair = RPCS as f64 / ids.len() as f64;
            let moved = before.values().filter(|owner| *owner == gone).count() as f64;
            prop_assert!((moved - fair).abs() < fair * 0.25, "{} of {}", moved, fair);
        }
    }

    #[test]
    fn capacity_is_what_shares_are_in_proportion_to() {
        let members = Members::from([("small".to_owned(), 1), ("large".to_owned(), 3)]);
        let shares = shares(&members, rpcs());
        let large = shares["large"].len() as f64 / RPCS as f64;
        assert!((0.72..0.78).contains(&large), "{large}");
    }

    #[test]
    fn without_members_there_are_no_shares() {
        assert!(shares(&Members::new(), rpcs()).is_empty());
    }
}
