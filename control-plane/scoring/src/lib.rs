//! From measurements to weights, as pure functions: equal histories give equal weights, wherever they came from.
//!
//! [`History`] is what a source knows of an upstream. [`measure()`] reduces the histories of a route's upstreams to
//! [`Measurements`] over a window, [`score()`] turns these into a score each by the strategy, and [`decide()`] turns
//! scores into weights within the guards and says which rule decided. Formulas, sources and units are in
//! docs/recommender.md. Nothing here reads a clock, a socket or a file.

mod decide;
mod history;
mod measure;
mod score;

pub use decide::{Decision, Moved, Rule, Standing, decide};
pub use history::{Distribution, HeightPoint, History, Span, TrafficPoint, TrafficSeries};
pub use measure::{Candidate, Measurements, measure, prior_points};
pub use score::{Scoring, score};
