//! Whether the nodes that are connected understand what a configuration needs.

use tyrscale_model::{Violation, ViolationCode};
use tyrscale_store::Committed;

use crate::fleet::Fleet;

/// One warning for each feature of a kind that some node lacks: it stays at what it runs. Nothing when nothing changed.
pub(super) fn warnings(committed: &Committed, fleet: &Fleet) -> Vec<Violation> {
    if committed.changes.is_empty() {
        return Vec::new();
    }
    let snapshot = &committed.head.snapshot;
    let warning = |(feature, key): (_, &tyrscale_model::ResourceKey)| {
        // Not which ones, nor which resource: a caller may see less than all.
        let count = fleet.lacking(feature, key.kind).len();
        if count == 0 {
            return None;
        }
        let kind = key.kind;
        let message = format!(
            "some {kind} needs the feature {feature}, which {count} connected nodes do not understand: they stay at what they run"
        );
        Some(Violation::new("", ViolationCode::Unsupported, message))
    };
    snapshot.needs().filter_map(warning).collect()
}
