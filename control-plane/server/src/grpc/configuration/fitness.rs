//! Whether the nodes that are connected understand what a configuration needs.

use tyrscale_model::{Violation, ViolationCode};
use tyrscale_store::Committed;

use crate::fleet::Fleet;

/// How many nodes that lack something are named.
const NAMED: usize = 10;

/// One warning for each feature of a kind that some node lacks: it stays at what it runs. Nothing when nothing changed.
pub(super) fn warnings(committed: &Committed, fleet: &Fleet) -> Vec<Violation> {
    if committed.changes.is_empty() {
        return Vec::new();
    }
    let snapshot = &committed.head.snapshot;
    let warning = |(feature, key): (_, &tyrscale_model::ResourceKey)| {
        let lacking = fleet.lacking(feature, key.kind);
        let count = lacking.len();
        if count == 0 {
            return None;
        }
        let mut names = lacking.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
        if count > NAMED {
            names.push_str(" and others");
        }
        let message = format!(
            "needs the feature {feature}, which {count} connected nodes do not understand: they stay at what they run: {names}"
        );
        Some(Violation::new("", ViolationCode::Unsupported, message).of(key.clone()))
    };
    snapshot.needs().filter_map(warning).collect()
}
