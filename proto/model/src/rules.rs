//! Rules that many fields share, and the collector of the broken ones.

use std::{collections::HashSet, fmt, hash::Hash, ops::RangeInclusive};

use crate::{Violation, ViolationCode};

/// The broken rules of one part of a resource, fields named from that part on.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    found: Vec<Violation>,
}

impl Rules {
    /// Notes a broken rule.
    pub(crate) fn refuse_if(&mut self, broken: bool, field: &str, code: ViolationCode, rule: &str) {
        self.refuse_with(broken, field, code, || rule.to_owned());
    }

    /// As [`Rules::refuse_if`], for a rule whose words need not be made unless it is broken: nearly none is.
    fn refuse_with(&mut self, broken: bool, field: &str, code: ViolationCode, rule: impl Fn() -> String) {
        if broken {
            self.found.push(Violation::new(field, code, rule()));
        }
    }

    /// A number that must not be above `max`.
    pub(crate) fn at_most<N: PartialOrd + fmt::Display>(&mut self, field: &str, value: N, max: N) {
        let rule = || format!("must be {max} or less");
        self.refuse_with(value > max, field, ViolationCode::OutOfRange, rule);
    }

    /// A number whose 0 means a default, so that it is 0 or within `bounds`.
    pub(crate) fn zero_or<N>(&mut self, field: &str, value: N, bounds: RangeInclusive<N>)
    where
        N: PartialOrd + Default + fmt::Display,
    {
        let broken = value != N::default() && !bounds.contains(&value);
        let rule = || format!("must be 0, or {} to {}", bounds.start(), bounds.end());
        self.refuse_with(broken, field, ViolationCode::OutOfRange, rule);
    }

    /// That `field` is set asks for something else to be set: `wanted`, of which `is_there` tells.
    pub(crate) fn needs(&mut self, field: &str, is_set: bool, wanted: &str, is_there: bool) {
        let rule = || format!("needs {wanted}");
        self.refuse_with(is_set && !is_there, field, ViolationCode::Invalid, rule);
    }

    /// A list of bounded length in which nothing stands twice.
    pub(crate) fn set_of<T: Hash + Eq>(&mut self, field: &str, items: &[T], max: usize) {
        let rule = || format!("must have at most {max} items");
        self.refuse_with(items.len() > max, field, ViolationCode::OutOfRange, rule);
        let distinct: HashSet<&T> = items.iter().collect();
        let broken = distinct.len() < items.len();
        self.refuse_if(
            broken,
            field,
            ViolationCode::Invalid,
            "must not name anything twice",
        );
    }

    /// A text of bounded length.
    pub(crate) fn text(&mut self, field: &str, text: &str, max: usize) {
        let rule = || format!("must have at most {max} bytes");
        self.refuse_with(text.len() > max, field, ViolationCode::OutOfRange, rule);
        let broken = text.chars().any(char::is_control);
        self.refuse_if(
            broken,
            field,
            ViolationCode::Invalid,
            "must not have control characters",
        );
    }

    /// What was found.
    pub(crate) fn finish(self) -> Vec<Violation> {
        self.found
    }

    /// What was found, its fields inside `parent`.
    pub(crate) fn within(self, parent: &str) -> Vec<Violation> {
        let located = self.found.into_iter().map(|violation| violation.within(parent));
        located.collect()
    }
}
