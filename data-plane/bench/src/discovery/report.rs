//! What was measured, as one line of JSON.

use serde::Serialize;

use super::{calls::Edit, document::Shape};
use crate::histogram::Quantiles;

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) nodes: u32,
    /// Whether both sides proved who they are.
    pub(crate) tls: bool,
    pub(crate) shape: Shape,
    pub(crate) filled: Option<Filled>,
    pub(crate) writes: Option<Writes>,
    /// From the start of the process until it serves, with everything in the store.
    pub(crate) cold_start_ms: Option<f64>,
    /// Then, before anybody subscribes.
    pub(crate) alone_rss_mib: Option<f64>,
    pub(crate) first_sync: Option<Synced>,
    /// One weight that is recommended.
    pub(crate) recommended: Option<Changes>,
    /// One weight that an operator sets.
    pub(crate) weight: Option<Changes>,
    pub(crate) route: Option<Changes>,
    /// A route with its upstreams, restored as it was before.
    pub(crate) undone: Option<Undone>,
    pub(crate) sustained: Option<Sustained>,
    pub(crate) steady: Option<Steady>,
    /// One recommended weight while all report.
    pub(crate) reporting: Option<Reporting>,
    /// One recommended weight while a tenth of the subscribers does not read.
    pub(crate) stopped: Option<Stopped>,
    pub(crate) resumed: Option<Resumed>,
    /// Updates that subscribers refused; 0, or something is wrong.
    pub(crate) mismatches: u64,
}

impl Report {
    pub(crate) const fn new(nodes: u32, tls: bool, shape: Shape) -> Self {
        Self {
            nodes,
            tls,
            shape,
            filled: None,
            writes: None,
            cold_start_ms: None,
            alone_rss_mib: None,
            first_sync: None,
            recommended: None,
            weight: None,
            route: None,
            undone: None,
            sustained: None,
            steady: None,
            reporting: None,
            stopped: None,
            resumed: None,
            mismatches: 0,
        }
    }
}

impl Report {
    /// Where what changes of a kind cost is noted.
    pub(crate) const fn of(&mut self, edit: Edit) -> &mut Option<Changes> {
        match edit {
            Edit::Recommended => &mut self.recommended,
            Edit::Weight => &mut self.weight,
            Edit::Route => &mut self.route,
        }
    }
}

/// One document with everything.
#[derive(Debug, Serialize)]
pub(crate) struct Filled {
    pub(crate) resources: usize,
    pub(crate) dry_run_ms: f64,
    pub(crate) apply_ms: f64,
    /// The same again, which changes nothing.
    pub(crate) again_ms: f64,
}

/// Writes without subscribers.
#[derive(Debug, Serialize)]
pub(crate) struct Writes {
    /// One after the other.
    pub(crate) one: Quantiles,
    pub(crate) writers: u32,
    pub(crate) commits_per_second: f64,
}

/// From nothing to everything.
#[derive(Debug, Serialize)]
pub(crate) struct Synced {
    pub(crate) last_ms: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) rss_mib: f64,
}

/// Changes, one after the other: from the call to the last acknowledgement.
#[derive(Debug, Serialize)]
pub(crate) struct Changes {
    pub(crate) changes: u32,
    pub(crate) to_last: Quantiles,
    pub(crate) to_each: Quantiles,
    pub(crate) cpu_ms_per_change: f64,
    pub(crate) payload_bytes_per_node: f64,
    pub(crate) wire_bytes_per_node: f64,
    pub(crate) rss_mib: f64,
}

/// Changes at a rate.
#[derive(Debug, Serialize)]
pub(crate) struct Sustained {
    pub(crate) changes: u32,
    pub(crate) seconds: f64,
    /// From each commit until all subscribers had it or a newer one.
    pub(crate) lag: Quantiles,
    pub(crate) cores: f64,
    pub(crate) updates_per_node_and_second: f64,
    pub(crate) rss_mib: f64,
}

/// Changes undone: from the call to the last acknowledgement.
#[derive(Debug, Serialize)]
pub(crate) struct Undone {
    pub(crate) to_last: Quantiles,
}

/// A change each second: each tenth of a weight of an operator, the others recommended.
#[derive(Debug, Serialize)]
pub(crate) struct Steady {
    pub(crate) seconds: u32,
    pub(crate) to_last: Quantiles,
    pub(crate) cpu_ms_per_change: f64,
    /// At the begin and at the end.
    pub(crate) rss_mib: (f64, f64),
    pub(crate) rss_kib_per_minute: f64,
}

/// While all report.
#[derive(Debug, Serialize)]
pub(crate) struct Reporting {
    pub(crate) samples_each: u32,
    /// Without any change.
    pub(crate) cores: f64,
    pub(crate) changes: Changes,
}

/// While some do not read.
#[derive(Debug, Serialize)]
pub(crate) struct Stopped {
    pub(crate) stopped: usize,
    pub(crate) others: Changes,
    pub(crate) rss_growth_kib_per_stopped: f64,
}

/// All streams ended and opened again, nothing to send.
#[derive(Debug, Serialize)]
pub(crate) struct Resumed {
    pub(crate) last_ms: f64,
    pub(crate) cpu_ms: f64,
    /// Calls of the API meanwhile.
    pub(crate) calls: Quantiles,
}
