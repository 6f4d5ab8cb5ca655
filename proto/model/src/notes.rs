//! Labels and annotations: what people and programs note with resources and revisions.

use std::collections::BTreeMap;

use crate::{Violation, ViolationCode};

/// How many labels, or annotations, one thing may have.
const MAX_NOTES: usize = 64;
/// The longest name, value of a label, and value of an annotation, in bytes.
const MAX_NAME: usize = 63;
const MAX_LABEL: usize = 256;
const MAX_ANNOTATION: usize = 4096;
/// The longest name of a manager, in bytes.
const MAX_MANAGER: usize = 63;

/// What is to be noted with a resource; `None` leaves what is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    /// Short words that select it.
    pub labels: Option<BTreeMap<String, String>>,
    /// Notes of people and programs.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Who manages it by documents; empty for nobody.
    pub managed_by: Option<String>,
}

impl Notes {
    /// The broken rules.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let labels = self.labels.iter().flat_map(label_violations);
        let labels = labels.map(|violation| violation.within("meta"));
        let annotations = self
            .annotations
            .iter()
            .flat_map(|notes| violations("meta.annotations", notes, MAX_ANNOTATION));
        labels.chain(annotations).collect()
    }
}

/// The broken rules of labels, of the field `labels`.
#[must_use]
pub fn label_violations(labels: &BTreeMap<String, String>) -> Vec<Violation> {
    violations("labels", labels, MAX_LABEL)
}

/// Whether a text can name a manager.
///
/// # Errors
/// The broken rule of the field `manager`.
pub fn check_manager(name: &str) -> Result<(), Violation> {
    if name.len() <= MAX_MANAGER && name.bytes().all(is_inner) {
        return Ok(());
    }
    let rule = "must be 1 to 63 letters, digits, \"-\", \"_\", \".\" and \"/\"";
    Err(Violation::new("manager", ViolationCode::Invalid, rule))
}

const fn is_inner(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/')
}

fn violations(field: &str, notes: &BTreeMap<String, String>, longest: usize) -> Vec<Violation> {
    let mut found = Vec::new();
    if notes.len() > MAX_NOTES {
        found.push(Violation::new(
            field,
            ViolationCode::OutOfRange,
            "must be at most 64",
        ));
    }
    for (name, value) in notes {
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_inner) {
            let rule = "must have names of 1 to 63 letters, digits, \"-\", \"_\", \".\" and \"/\"";
            found.push(Violation::new(field, ViolationCode::Invalid, rule));
        }
        if value.len() > longest || value.chars().any(char::is_control) {
            let rule = format!("must have values of at most {longest} bytes without control characters");
            found.push(Violation::new(field, ViolationCode::Invalid, rule));
        }
    }
    found.dedup();
    found
}
