//! The spelling of paths: fixed segments match in any case, one trailing slash is dropped, a doubled one is
//! another path.

use percent_encoding::percent_decode_str;

/// The paths there are, as `/a/{b}`.
#[derive(Debug)]
pub(crate) struct PathTable(Vec<Known>);

/// A path as it is known, and its segments.
#[derive(Debug)]
struct Known {
    template: String,
    segments: Vec<Segment>,
}

/// A path that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spelled<'a> {
    /// As the router knows it.
    pub(crate) path: String,
    /// With the names of its parameters: `/a/{b}`.
    pub(crate) template: &'a str,
}

#[derive(Debug)]
enum Segment {
    Fixed(String),
    Parameter,
}

impl PathTable {
    pub(crate) fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let segment = |text: &str| match text.starts_with('{') {
            true => Segment::Parameter,
            false => Segment::Fixed(text.to_owned()),
        };
        let mut table: Vec<Known> = paths
            .into_iter()
            .map(|path| Known {
                template: path.to_owned(),
                segments: path.split('/').skip(1).map(segment).collect(),
            })
            .collect();
        let parameters = |path: &Known| {
            let is_parameter = |segment: &&Segment| matches!(segment, Segment::Parameter);
            path.segments.iter().filter(is_parameter).count()
        };
        table.sort_by_key(parameters);
        Self(table)
    }

    /// The path as the router knows it, when there is one.
    pub(crate) fn spell(&self, path: &str) -> Option<Spelled<'_>> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        self.0.iter().find_map(|known| {
            Some(Spelled {
                path: respell(&known.segments, &segments)?,
                template: &known.template,
            })
        })
    }
}

fn respell(known: &[Segment], segments: &[&str]) -> Option<String> {
    if known.len() != segments.len() {
        return None;
    }
    let mut path = String::new();
    for (known, segment) in known.iter().zip(segments) {
        let spelled = match known {
            Segment::Fixed(text) if text.eq_ignore_ascii_case(segment) => text,
            Segment::Parameter if is_text(segment) => *segment,
            _ => return None,
        };
        path.push('/');
        path.push_str(spelled);
    }
    Some(path)
}

fn is_text(segment: &str) -> bool {
    !segment.is_empty() && percent_decode_str(segment).decode_utf8().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> PathTable {
        PathTable::new(["/api/v1/networks", "/api/v1/networks/{name}", "/swagger/{file}"])
    }

    #[test]
    fn fixed_parts_match_in_any_case_and_parameters_keep_theirs() {
        let table = table();
        let spelled = table.spell("/API/v1/Networks/EthMain/").unwrap();
        assert_eq!(spelled.path, "/api/v1/networks/EthMain");
        assert_eq!(spelled.template, "/api/v1/networks/{name}");
    }

    #[test]
    fn doubled_slashes_and_broken_encodings_are_no_path() {
        for path in [
            "/api/v1//networks",
            "/api/v1/networks//",
            "//api/v1/networks",
            "/",
            "",
            "/api/v1/networks/%ff",
        ] {
            assert_eq!(table().spell(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn spelling_twice_changes_nothing(path in "(/[a-zA-Z0-9%/]{0,9}){0,4}") {
            let table = table();
            if let Some(once) = table.spell(&path) {
                let twice = table.spell(&once.path);
                prop_assert_eq!(twice, Some(once));
            }
        }
    }
}
