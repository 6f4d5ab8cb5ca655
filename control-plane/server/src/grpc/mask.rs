//! Field masks: which fields of a message an update takes over.

use tyrscale_model::{Violation, ViolationCode};

/// Takes the fields named by `$path` from one message into another of the same type. Fields that only the
/// server sets are known and left alone. Is `false` when there is no such field.
///
/// With `=>` between the messages and the path they are optional parts of two messages: one that is absent reads
/// as empty, and is there once a field of it was taken.
macro_rules! take_field {
    ($into:expr, $from:expr => $path:expr; $($field:ident),+ $(,)?) => {{
        let from = $from.clone().unwrap_or_default();
        let mut into = $into.clone().unwrap_or_default();
        let known = $crate::grpc::mask::take_field!(into, from, $path; $($field),+);
        if known {
            $into = Some(into);
        }
        known
    }};
    ($into:expr, $from:expr, $path:expr; $($field:ident),+ $(,)?) => {
        match $path {
            $(name if name == stringify!($field).trim_start_matches("r#") => {
                $into.$field = $from.$field.clone();
                true
            })+
            _ => false,
        }
    };
}
pub(crate) use take_field;

/// The fields an update changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mask {
    /// All of them.
    All,
    /// These paths, each known to the message.
    Paths(Vec<String>),
}

impl Mask {
    /// The most paths of one mask.
    const MAX_PATHS: usize = 256;

    /// Reads a mask; `is_known` says whether the message has a field of that path.
    ///
    /// # Errors
    /// Every broken rule of the field `update_mask`.
    pub(crate) fn read(
        mask: Option<prost_types::FieldMask>,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Self, Vec<Violation>> {
        let invalid = |message: String| Violation::new("update_mask", ViolationCode::Invalid, message);
        let paths = mask.map(|mask| mask.paths).unwrap_or_default();
        if paths.is_empty() {
            let message = "must name the fields to change, or \"*\"";
            return Err(vec![Violation::new(
                "update_mask",
                ViolationCode::Required,
                message,
            )]);
        }
        if paths == ["*"] {
            return Ok(Self::All);
        }
        if paths.len() > Self::MAX_PATHS {
            return Err(vec![invalid(format!(
                "must have at most {} paths",
                Self::MAX_PATHS
            ))]);
        }
        let unknown: Vec<Violation> = paths
            .iter()
            .filter(|path| !is_known(path))
            .map(|path| match path.as_str() {
                "*" => invalid("\"*\" must be the only path".to_owned()),
                path => invalid(format!("names the unknown field {path:?}")),
            })
            .collect();
        if unknown.is_empty() {
            Ok(Self::Paths(paths))
        } else {
            Err(unknown)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(paths: &[&str]) -> Result<Mask, Vec<Violation>> {
        let paths = paths.iter().map(ToString::to_string).collect();
        Mask::read(Some(prost_types::FieldMask { paths }), |path| path == "weight")
    }

    #[test]
    fn a_star_stands_for_all_fields_and_alone() {
        assert_eq!(read(&["*"]), Ok(Mask::All));
        assert!(read(&["*", "weight"]).is_err());
    }

    #[test]
    fn a_mask_is_required_and_every_unknown_path_is_named() {
        assert_eq!(read(&[]).unwrap_err()[0].code, ViolationCode::Required);
        assert!(Mask::read(None, |_| true).is_err());
        assert_eq!(read(&["weight"]), Ok(Mask::Paths(vec!["weight".to_owned()])));
        assert_eq!(read(&["weight", "a", "b"]).unwrap_err().len(), 2);
    }
}
