//! The table made ready to search: every text of every rule is looked for in one pass.

use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use super::rule::{Code, Rule, Shape, Text};
use super::table;
use super::vendor::Vendor;
use crate::method::Method;

/// What the conditions of a rule are about.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) status: u16,
    pub(super) method: &'a Method,
    pub(super) vendor: Vendor,
    pub(super) shape: Shape,
    pub(super) code: Option<i64>,
    /// The error's message, or the beginning of the body.
    pub(super) message: &'a str,
    /// What the error says beside its message.
    pub(super) detail: &'a str,
}

/// The first rule that the facts meet.
pub(super) fn first(facts: &Facts<'_>) -> Option<&'static Rule> {
    INDEX.first(facts)
}

/// The first rule that the facts meet without the texts that are in `request`, wherever they stand in it; without any
/// text where there is nothing to compare with.
pub(super) fn first_beside(facts: &Facts<'_>, request: Option<&str>) -> Option<&'static Rule> {
    INDEX.first_beside(facts, request)
}

static INDEX: LazyLock<Index> = LazyLock::new(Index::build);

struct Index {
    /// Finds the texts; `None` when they could not be compiled, so that no text is ever found.
    finder: Option<AhoCorasick>,
    /// Of each text: whether it starts like a word and must start one.
    texts: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    rule: &'static Rule,
    /// Numbers of texts: all of one group must be found; no group: no condition.
    groups: Vec<Vec<usize>>,
    unless: Vec<usize>,
}

/// Where texts were found.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Found {
    #[default]
    No,
    /// At the beginning of a word.
    Begun,
    /// As whole words.
    Whole,
}

impl Index {
    fn build() -> Self {
        let mut numbers = HashMap::new();
        let mut texts = Vec::new();
        let mut number = |text: &'static str| {
            *numbers.entry(text).or_insert_with(|| {
                texts.push(text.to_owned());
                texts.len() - 1
            })
        };
        let mut rows = Vec::new();
        for rule in table::rules() {
            let groups = match rule.text {
                Text::Any | Text::Whole(_) => Vec::new(),
                Text::Has(texts) | Text::Words(texts) => {
                    parts(texts, "|").map(|text| vec![number(text)]).collect()
                }
                Text::All(texts) => parts(texts, "|")
                    .map(|group| parts(group, "&").map(&mut number).collect())
                    .collect(),
            };
            let unless = parts(rule.unless, "|").map(&mut number).collect();
            rows.push(Row { rule, groups, unless });
        }
        let finder = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&texts)
            .ok();
        Self { finder, texts, rows }
    }

    fn first(&self, facts: &Facts<'_>) -> Option<&'static Rule> {
        self.first_by(facts, &self.found(facts))
    }

    fn first_beside(&self, facts: &Facts<'_>, request: Option<&str>) -> Option<&'static Rule> {
        let Some(request) = request else {
            return self.first_by(facts, &vec![Found::No; self.texts.len()]);
        };
        let mut found = self.found(facts);
        for hit in self
            .finder
            .iter()
            .flat_map(|finder| finder.find_overlapping_iter(request))
        {
            if let Some(slot) = found.get_mut(hit.pattern().as_usize()) {
                *slot = Found::No;
            }
        }
        self.first_by(facts, &found)
    }

    fn first_by(&self, facts: &Facts<'_>, found: &[Found]) -> Option<&'static Rule> {
        let hit = |row: &&Row| row.rule.meets(facts) && row.reads(found);
        self.rows.iter().find(hit).map(|row| row.rule)
    }

    fn found(&self, facts: &Facts<'_>) -> Vec<Found> {
        let mut found = vec![Found::No; self.texts.len()];
        for said in [facts.message, facts.detail] {
            self.search(said, &mut found);
        }
        found
    }

    fn search(&self, said: &str, found: &mut [Found]) {
        let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = said.as_bytes();
        for hit in self
            .finder
            .iter()
            .flat_map(|finder| finder.find_overlapping_iter(said))
        {
            let Some(slot) = found.get_mut(hit.pattern().as_usize()) else {
                continue;
            };
            let before = hit.start().checked_sub(1).and_then(|at| bytes.get(at));
            if is_word(before) && is_word(bytes.get(hit.start())) {
                continue;
            }
            if !is_word(bytes.get(hit.end())) {
                *slot = Found::Whole;
            } else if *slot == Found::No {
                *slot = Found::Begun;
            }
        }
    }
}

impl Row {
    fn reads(&self, found: &[Found]) -> bool {
        let whole_words = matches!(self.rule.text, Text::Words(_));
        let is_found = |text: &usize| match found.get(*text) {
            Some(Found::Whole) => true,
            Some(Found::Begun) => !whole_words,
            Some(Found::No) | None => false,
        };
        (self.groups.is_empty() || self.groups.iter().any(|group| group.iter().all(is_found)))
            && !self.unless.iter().any(is_found)
    }
}

impl Rule {
    /// Whether the facts meet the conditions that are not looked up in the index.
    fn meets(&self, facts: &Facts<'_>) -> bool {
        let code = match (self.code, facts.code) {
            (Code::Any, _) | (Code::NotIn(_), None) => true,
            (Code::In(codes), Some(code)) => codes.contains(&code),
            (Code::Other(codes) | Code::NotIn(codes), Some(code)) => !codes.contains(&code),
            (Code::In(_) | Code::Other(_), None) => false,
        };
        let whole = match self.text {
            Text::Whole(texts) => {
                parts(texts, "|").any(|text| facts.message.trim().eq_ignore_ascii_case(text))
            }
            Text::Any | Text::Has(_) | Text::Words(_) | Text::All(_) => true,
        };
        let in_range = |(from, to): &(u16, u16)| (*from..=*to).contains(&facts.status);
        code && whole
            && self.vendor.is_none_or(|vendor| vendor == facts.vendor)
            && self.shapes.meets(facts.shape)
            && self.methods.include(facts.method)
            && (self.statuses.is_empty() || self.statuses.iter().any(in_range))
    }
}

/// The parts of a list of texts.
pub(super) fn parts(texts: &'static str, separator: &'static str) -> impl Iterator<Item = &'static str> {
    texts
        .split(separator)
        .map(str::trim)
        .filter(|part| !part.is_empty())
}
