//! Laws of the parts that decide.

use std::{collections::BTreeMap, time::Duration};

use proptest::{prelude::*, sample::select};
use prost::Message as _;
use tyrscale_model::{Digest, Kind, Lineage, ResourceKey, Revision, Row, Snapshot, Version, View, wire};
use tyrscale_proto::v1::{self, StreamConfigResponse, stream_config_response::Message};

use super::{
    assembly::{Assembly, Offer, Taken},
    refusal::NackReason,
    replica,
    session::{Fault, Session, Step},
};

const VIEW: View = View::ALL;
const LIMIT: usize = 1 << 20;
const NAMES: [&str; 3] = ["a", "b", "c"];

type Content = BTreeMap<&'static str, u64>;

fn key(name: &str) -> ResourceKey {
    ResourceKey::new(Kind::Network, name)
}

fn row(name: &str, chain_id: u64) -> Row {
    let network = v1::Network {
        name: name.into(),
        blockchain: "ethereum".into(),
        chain_id,
        meta: None,
    };
    Row {
        key: key(name),
        revision: Revision(1),
        payload: network.encode_to_vec().into(),
        value: None,
    }
}

fn snapshot(lineage: Lineage, revision: u64, content: &Content) -> Snapshot {
    let rows = content.iter().map(|(name, chain_id)| row(name, *chain_id));
    Snapshot::empty(lineage)
        .advance(lineage, Revision(revision), rows.collect(), &[])
        .unwrap()
}

fn content_of(snapshot: &Snapshot) -> Content {
    let named = |name: &str| NAMES.into_iter().find(|known| *known == name).unwrap();
    snapshot
        .networks()
        .map(|network| (named(network.name.as_str()), network.chain_id.get()))
        .collect()
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Leave,
    Put(u64),
    Remove,
}

/// An update as a control plane, good or bad, may send it.
#[derive(Debug, Clone)]
struct Sent {
    lineage: Lineage,
    revision: u64,
    base: Option<(Lineage, u64)>,
    steps: [Fate; 3],
    honest: bool,
    forced: bool,
}

fn lineage() -> impl Strategy<Value = Lineage> {
    // Mostly one, so that there is something to follow.
    prop_oneof![4 => Just(Lineage([1; 16])), 1 => Just(Lineage([2; 16]))]
}

fn step() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Leave),
        (1u64..3).prop_map(Fate::Put),
        Just(Fate::Remove)
    ]
}

prop_compose! {
    fn sent()(
        lineage in lineage(),
        revision in 0u64..6,
        base in proptest::option::of((lineage(), 0u64..6)),
        steps in [step(), step(), step()],
        honest in proptest::bool::weighted(0.9),
        forced in proptest::bool::weighted(0.1),
    ) -> Sent {
        Sent { lineage, revision, base, steps, honest, forced }
    }
}

impl Sent {
    /// The content this makes of `running`.
    fn content(&self, running: Option<&Snapshot>) -> Content {
        let mut content = match self.base {
            Some(_) => running.map(content_of).unwrap_or_default(),
            None => Content::new(),
        };
        for (name, step) in NAMES.into_iter().zip(self.steps) {
            match step {
                Fate::Leave => {}
                Fate::Put(chain_id) => {
                    content.insert(name, chain_id);
                }
                Fate::Remove => {
                    content.remove(name);
                }
            }
        }
        content
    }

    fn offer(&self, running: Option<&Snapshot>) -> Offer {
        let version = |lineage, revision, digest| Version {
            lane: tyrscale_model::Lane::Config,
            lineage,
            revision: Revision(revision),
            digest,
        };
        let content = snapshot(self.lineage, self.revision, &self.content(running));
        let digest = if self.honest {
            content.digest(VIEW)
        } else {
            Digest([0; 32])
        };
        let mut offer = Offer {
            base: self
                .base
                .map(|(lineage, revision)| version(lineage, revision, digest)),
            forced: self.forced,
            ..Offer::whole(version(self.lineage, self.revision, digest))
        };
        for (name, step) in NAMES.into_iter().zip(self.steps) {
            match step {
                Fate::Leave => {}
                Fate::Put(chain_id) => offer.upserts.push(row(name, chain_id)),
                Fate::Remove => offer.removals.push(key(name)),
            }
        }
        offer
    }

    /// Whether a subscriber that runs `running` may take it.
    fn may_be_taken(&self, running: Option<&Snapshot>) -> bool {
        let own = running.filter(|running| running.lineage() == self.lineage);
        let follows = self.base.is_none_or(|(lineage, revision)| {
            lineage == self.lineage && own.is_some_and(|own| own.revision().0 == revision)
        });
        let goes_back = own.is_some_and(|own| self.revision < own.revision().0);
        let has_content = running.is_some_and(|running| !running.is_empty());
        let replaces = has_content && own.is_none();
        follows && !goes_back && self.honest && (!replaces || self.forced)
    }
}

proptest! {
    #[test]
    fn exactly_what_follows_and_proves_itself_is_taken(
        updates in proptest::collection::vec(sent(), 1..20),
    ) {
        let mut running: Option<Snapshot> = None;
        for sent in updates {
            let before = running.as_ref();
            let offer = sent.offer(before);
            let target = offer.target;
            let judged = replica::judge(before, VIEW, offer);
            prop_assert_eq!(judged.is_ok(), sent.may_be_taken(before), "{:?} gave {:?}", sent, judged);
            let Ok(update) = judged else { continue };
            let expected = sent.content(before);
            prop_assert_eq!(update.version, target);
            prop_assert_eq!(update.snapshot.version(VIEW), target);
            prop_assert_eq!(content_of(&update.snapshot), expected.clone());
            let old = before.map(content_of).unwrap_or_default();
            for name in NAMES {
                if old.get(name) != expected.get(name) {
                    prop_assert!(update.changed.contains(&key(name)), "{} is not told", name);
                } else if sent.base.is_none() {
                    prop_assert!(!update.changed.contains(&key(name)), "{} is told", name);
                }
            }
            running = Some(update.snapshot);
        }
    }

    #[test]
    fn a_version_is_adopted_only_for_the_content_that_runs(
        running_lineage in lineage(), revision in 0u64..4,
        other_lineage in lineage(), other_revision in 0u64..4,
        same in any::<bool>(),
    ) {
        let content = Content::from([("a", 1)]);
        let running = snapshot(running_lineage, revision, &content);
        let other = if same { content } else { Content::from([("a", 2)]) };
        let target = snapshot(other_lineage, other_revision, &other).version(VIEW);
        let adopted = replica::adopt(Some(&running), VIEW, target);
        let goes_back = running_lineage == other_lineage && other_revision < revision;
        match adopted {
            Err(fault) => {
                prop_assert!(!same || goes_back);
                prop_assert_eq!(fault, Fault::NotInSync);
            }
            Ok(None) => prop_assert_eq!(running.version(VIEW), target),
            Ok(Some(update)) => {
                prop_assert!(same && !goes_back);
                prop_assert_eq!(update.snapshot.version(VIEW), target);
                prop_assert!(update.changed.is_empty());
            }
        }
    }

    #[test]
    fn chunks_make_the_update_that_one_message_makes(cuts in proptest::collection::vec(0usize..=12, 0..5)) {
        let base = snapshot(Lineage([1; 16]), 1, &Content::new()).version(VIEW);
        let rows: Vec<Row> = (0..12).map(|number| row(&format!("n{number}"), 1)).collect();
        let mut cuts = [cuts, vec![0, 12]].concat();
        cuts.sort_unstable();
        let parts: Vec<&[Row]> = cuts.windows(2).map(|cut| &rows[cut[0]..cut[1]]).collect();
        let count = u32::try_from(parts.len()).unwrap();
        let mut assembly = Assembly::new(VIEW, false, LIMIT);
        let mut made = None;
        for (index, part) in (0..).zip(&parts) {
            let chunk = chunk(&base, index, count, part);
            match assembly.chunk(chunk, index + 1 == count) {
                Taken::Complete(offer) => made = Some((index, offer)),
                Taken::Incomplete => prop_assert!(index + 1 < count),
                Taken::Broken(refusal) => prop_assert!(false, "{:?}", refusal),
            }
        }
        let (index, made) = made.unwrap();
        prop_assert_eq!(index + 1, count);
        prop_assert_eq!(made.upserts, rows);
        prop_assert_eq!((made.base, made.target), (Some(base), base));
    }

    #[test]
    fn nothing_received_makes_a_session_panic_or_go_unanswered(
        messages in proptest::collection::vec((message(), 0u64..3), 0..30),
    ) {
        let mut session = Session::new(VIEW, false, LIMIT);
        drop(session.receive(response(Message::Welcome(v1::Welcome::default()), 0)));
        for (message, nonce) in messages {
            let wants_answer = matches!(message, Message::Delta(_) | Message::Chunk(_)) && nonce != 0;
            let step = session.receive(response(message, nonce));
            let answered = matches!(step, Step::Judge { .. } | Step::Refuse { .. });
            prop_assert!(answered == wants_answer || matches!(step, Step::GiveUp(_)), "{:?}", step);
        }
    }
}

fn response(message: Message, nonce: u64) -> StreamConfigResponse {
    StreamConfigResponse {
        message: Some(message),
        nonce,
    }
}

fn chunk(version: &Version, index: u32, count: u32, rows: &[Row]) -> v1::UpdateChunk {
    v1::UpdateChunk {
        base: Some(wire::version_to_wire(version)),
        target: Some(wire::version_to_wire(version)),
        index,
        count,
        upserts: rows.iter().map(wire::row_to_wire).collect(),
        removals: Vec::new(),
        ..v1::UpdateChunk::default()
    }
}

fn message() -> impl Strategy<Value = Message> {
    let version = wire::version_to_wire(&snapshot(Lineage([1; 16]), 1, &Content::new()).version(VIEW));
    let versions = select(vec![None, Some(v1::Version::default()), Some(version)]);
    let chunk =
        (versions.clone(), versions.clone(), 0u32..4, 0u32..4).prop_map(|(base, target, index, count)| {
            Message::Chunk(v1::UpdateChunk {
                base,
                target,
                index,
                count,
                ..v1::UpdateChunk::default()
            })
        });
    let delta = (versions.clone(), versions).prop_map(|(base, target)| {
        Message::Delta(v1::Delta {
            base,
            target,
            ..v1::Delta::default()
        })
    });
    let heartbeat = Just(Message::Heartbeat(v1::Heartbeat::default()));
    let directive = Just(Message::Directive(v1::Directive::default()));
    prop_oneof![6 => chunk, 2 => delta, 1 => heartbeat, 1 => directive]
}

#[test]
fn an_update_beyond_the_limit_is_refused_however_it_is_cut() {
    let version = snapshot(Lineage([1; 16]), 1, &Content::new()).version(VIEW);
    let rows: Vec<Row> = (0..10).map(|number| row(&format!("n{number}"), 1)).collect();
    let mut assembly = Assembly::new(VIEW, false, 1000);
    for index in 0..9 {
        let part = chunk(&version, index, 10, &rows[..2]);
        assert!(matches!(assembly.chunk(part, false), Taken::Incomplete));
    }
    let last = assembly.chunk(chunk(&version, 9, 10, &rows[..2]), true);
    assert!(matches!(last, Taken::Broken(refusal) if refusal.reason == NackReason::Limit));
    let again = assembly.chunk(chunk(&version, 0, 1, &rows[..2]), true);
    assert!(matches!(again, Taken::Complete(_)));
}

#[test]
fn a_message_of_a_newer_control_plane_is_skipped_or_refused_when_it_wants_an_answer() {
    let mut session = Session::new(VIEW, false, LIMIT);
    drop(session.receive(response(Message::Welcome(v1::Welcome::default()), 0)));
    let unknown = |nonce| StreamConfigResponse { message: None, nonce };
    assert!(matches!(session.receive(unknown(0)), Step::Continue));
    let Step::Refuse { nonce: 7, refusal } = session.receive(unknown(7)) else {
        panic!("not refused")
    };
    assert_eq!(refusal.reason, NackReason::Unsupported);
}

#[test]
fn an_update_of_another_lane_is_unsupported() {
    let mut target = wire::version_to_wire(&snapshot(Lineage([1; 16]), 1, &Content::new()).version(VIEW));
    target.lane = v1::Lane::Weights.into();
    let delta = v1::Delta {
        base: Some(target.clone()),
        target: Some(target),
        ..v1::Delta::default()
    };
    let taken = Assembly::new(VIEW, false, LIMIT).delta(delta);
    assert!(matches!(taken, Taken::Broken(refusal) if refusal.reason == NackReason::Unsupported));
}

#[test]
fn a_stream_begins_with_one_welcome() {
    let mut session = Session::new(VIEW, false, LIMIT);
    let welcome = || response(Message::Welcome(v1::Welcome::default()), 0);
    let early = session.receive(response(Message::Heartbeat(v1::Heartbeat::default()), 0));
    assert!(matches!(early, Step::GiveUp(Fault::NoWelcome)));
    assert!(matches!(session.receive(welcome()), Step::Welcome { .. }));
    assert!(matches!(
        session.receive(welcome()),
        Step::GiveUp(Fault::SecondWelcome)
    ));
}

#[test]
fn times_that_make_no_sense_are_bounded() {
    let mut session = Session::new(VIEW, false, LIMIT);
    let duration = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let welcome = |seconds| v1::Welcome {
        heartbeat: duration(seconds),
        ..v1::Welcome::default()
    };
    for (seconds, expected) in [(0, None), (-1, None), (15, Some(15)), (i64::MAX, Some(600))] {
        let step = Session::new(VIEW, false, LIMIT).receive(response(Message::Welcome(welcome(seconds)), 0));
        let Step::Welcome { heartbeat, .. } = step else {
            panic!("{step:?}")
        };
        assert_eq!(heartbeat, expected.map(Duration::from_secs), "{seconds}");
    }
    drop(session.receive(response(Message::Welcome(welcome(15)), 0)));
    for (seconds, expected) in [(-1, 0), (60, 60), (i64::MAX, 600)] {
        let reconnect = v1::Reconnect {
            within: duration(seconds),
            why: String::new(),
        };
        let directive = v1::Directive {
            directive: Some(v1::directive::Directive::Reconnect(reconnect)),
        };
        let step = session.receive(response(Message::Directive(directive), 0));
        let Step::Reconnect(within) = step else {
            panic!("{step:?}")
        };
        assert_eq!(within, Duration::from_secs(expected), "{seconds}");
    }
}
