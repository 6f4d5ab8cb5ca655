//! What a subscriber says of itself, checked.

use tonic::Status;
use tyrscale_model::{Features, Lane, Selection, Version, View, label_violations, wire};
use tyrscale_proto::v1;

use super::update::{Format, MAX_MESSAGE, MIN_MESSAGE};

/// The one version of the protocol spoken.
pub(crate) const PROTOCOL: u32 = 1;
/// The feature of subscribers that fill in what a delta leaves out.
pub(crate) const TERSE: &str = "terse";
/// The longest node id, in bytes.
const MAX_ID: usize = 128;
/// The longest other text, in bytes.
const MAX_TEXT: usize = 256;
const MAX_LABELS: usize = 32;
/// Versions that are read of those a node died with.
const MAX_QUARANTINED: usize = 16;

/// A subscriber that may be served.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) node: v1::Node,
    pub(crate) view: View,
    /// The routes it has to do with.
    pub(crate) selection: Selection,
    /// The lanes it follows.
    pub(crate) lanes: Vec<Lane>,
    /// What it runs, in each lane.
    pub(crate) have: Vec<Version>,
    /// What it died with again and again, and does not take.
    pub(crate) quarantined: Vec<Version>,
    /// What it understands beyond the protocol.
    pub(crate) features: Features,
    /// What updates it takes.
    pub(crate) format: Format,
}

/// Reads a hello.
pub(crate) fn read(hello: v1::Hello) -> Result<Subscriber, Status> {
    let node = hello.node.unwrap_or_default();
    check_node(&node)?;
    if !(hello.protocol_min..=hello.protocol_max).contains(&PROTOCOL) {
        return Err(Status::failed_precondition(format!(
            "no common protocol: the server speaks {PROTOCOL}, the node {} to {}",
            hello.protocol_min, hello.protocol_max
        )));
    }
    let max_message = match usize::try_from(hello.max_message_bytes).unwrap_or(MAX_MESSAGE) {
        0 => MAX_MESSAGE,
        wanted if wanted < MIN_MESSAGE => {
            let message = format!("max_message_bytes must be 0 or at least {MIN_MESSAGE}");
            return Err(Status::invalid_argument(message));
        }
        wanted => wanted.min(MAX_MESSAGE),
    };
    Ok(Subscriber {
        node,
        view: wire::view_from_wire(hello.selector.as_ref()),
        selection: selection_of(hello.selector.as_ref())?,
        lanes: lanes_of(hello.selector.as_ref()),
        have: hello.have.iter().filter_map(wire::version_from_wire).collect(),
        quarantined: hello
            .quarantined
            .iter()
            .take(MAX_QUARANTINED)
            .filter_map(wire::version_from_wire)
            .collect(),
        features: Features::of_words(hello.features.iter().map(String::as_str)),
        format: Format {
            max_message,
            packed: hello.codecs.contains(&v1::Codec::Zstd.into()),
            terse: hello.features.iter().any(|feature| feature == TERSE),
        },
    })
}

fn selection_of(selector: Option<&v1::Selector>) -> Result<Selection, Status> {
    let labels = selector
        .map(|selector| selector.labels.clone())
        .unwrap_or_default();
    match label_violations(&labels).first() {
        None => Ok(Selection::of(labels)),
        Some(violation) => Err(Status::invalid_argument(format!("selector.{violation}"))),
    }
}

/// The lanes of a selector: the configuration always, recommended weights when they are asked for.
fn lanes_of(selector: Option<&v1::Selector>) -> Vec<Lane> {
    let kinds = selector.map(|selector| &*selector.kinds).unwrap_or_default();
    if kinds.iter().any(|kind| wire::is_weight(*kind)) {
        Lane::ALL.to_vec()
    } else {
        vec![Lane::Config]
    }
}

fn check_node(node: &v1::Node) -> Result<(), Status> {
    let is_id = (1..=MAX_ID).contains(&node.id.len()) && node.id.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_id {
        let message = "node.id must be 1 to 128 printable ASCII characters without blanks";
        return Err(Status::invalid_argument(message));
    }
    let labels = node.labels.iter().flat_map(|(name, value)| [name, value]);
    let texts = [&node.group, &node.zone, &node.boot_id, &node.build];
    let is_text = |text: &String| text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    if node.labels.len() > MAX_LABELS || !texts.into_iter().chain(labels).all(is_text) {
        return Err(Status::invalid_argument(format!(
            "node must have at most {MAX_LABELS} labels and printable texts of at most {MAX_TEXT} bytes"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn hello(id: &str) -> v1::Hello {
        v1::Hello {
            node: Some(v1::Node {
                id: id.to_owned(),
                ..Default::default()
            }),
            protocol_min: 1,
            protocol_max: 1,
            ..Default::default()
        }
    }

    #[test]
    fn a_node_says_who_it_is_in_bounded_printable_texts() {
        assert!(read(hello("gw-1")).is_ok());
        for bad in ["", "a b", "a\u{7}", "é", &"a".repeat(300)] {
            assert_eq!(
                read(hello(bad)).unwrap_err().code(),
                Code::InvalidArgument,
                "{bad}"
            );
        }
        let mut selecting = hello("gw-1");
        selecting.selector = Some(v1::Selector {
            labels: [("Not A Label".to_owned(), "x".to_owned())].into(),
            ..v1::Selector::default()
        });
        let refused = read(selecting).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with("selector.labels"), "{refused}");
        let mut long = hello("gw-1");
        long.node.as_mut().unwrap().zone = "z".repeat(MAX_TEXT + 1);
        assert_eq!(read(long).unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn the_lane_of_weights_is_followed_by_those_who_ask_for_it() {
        let lanes = |kinds: &[v1::Kind]| {
            let kinds = kinds.iter().map(|kind| i32::from(*kind)).collect();
            lanes_of(Some(&v1::Selector {
                kinds,
                ..v1::Selector::default()
            }))
        };
        assert_eq!(lanes_of(None), [Lane::Config]);
        assert_eq!(lanes(&[v1::Kind::Upstream, v1::Kind::Weight]), Lane::ALL);
        assert_eq!(lanes(&[v1::Kind::Upstream]), [Lane::Config]);
    }

    #[test]
    fn a_message_limit_is_ours_unless_it_is_smaller_and_not_too_small() {
        let limit = |max_message_bytes| {
            let hello = v1::Hello {
                max_message_bytes,
                ..hello("gw-1")
            };
            read(hello).map(|subscriber| subscriber.format.max_message)
        };
        assert_eq!(limit(0).unwrap(), MAX_MESSAGE);
        assert_eq!(limit(65_536).unwrap(), MIN_MESSAGE);
        assert_eq!(limit(u32::MAX).unwrap(), MAX_MESSAGE);
        assert!(limit(65_535).is_err());
    }
}
