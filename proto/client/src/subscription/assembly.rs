//! From messages to whole updates: a difference in one message, or chunks put together.

use bytes::Bytes;
use tyrscale_model::{
    Feature, Kind, Lane, ResourceKey, Row, UpstreamId, Version, View, Violation, ViolationCode, WeightRow,
    wire,
};
use tyrscale_proto::v1;

use super::refusal::{NackReason, Refusal};

/// Chunks of one update at most.
const MAX_CHUNKS: u32 = 65_536;
/// What a row or a removal costs besides its bytes.
const ROW_OVERHEAD: usize = 128;

/// A whole update as it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// Absent: everything is replaced.
    pub(crate) base: Option<Version>,
    pub(crate) target: Version,
    pub(crate) upserts: Vec<Row>,
    pub(crate) removals: Vec<ResourceKey>,
    /// Of the lane of recommended weights, which has no other resources.
    pub(crate) weights: Vec<WeightRow>,
    pub(crate) weight_removals: Vec<UpstreamId>,
    /// An operator wants it taken even if it is empty and of another lineage.
    pub(crate) forced: bool,
}

impl Offer {
    /// An offer that replaces everything, with nothing in it yet.
    pub(crate) const fn whole(target: Version) -> Self {
        Self {
            base: None,
            target,
            upserts: Vec::new(),
            removals: Vec::new(),
            weights: Vec::new(),
            weight_removals: Vec::new(),
            forced: false,
        }
    }
}

/// What a message made of the update under way.
#[derive(Debug)]
pub(crate) enum Taken {
    /// More is to come.
    Incomplete,
    /// All is there.
    Complete(Offer),
    /// It cannot become an update.
    Broken(Refusal),
}

#[derive(Debug)]
enum State {
    Idle,
    Collecting(Box<Collecting>),
    /// The message that can be answered is still to come.
    Broken(Refusal),
}

#[derive(Debug)]
struct Collecting {
    base: Option<v1::Version>,
    target: v1::Version,
    count: u32,
    next: u32,
    size: usize,
    offer: Offer,
}

/// Puts updates together, within `limit` bytes of memory each. Resources outside the view are left out: they
/// were not asked for, and the view's digest does not cover them.
#[derive(Debug)]
pub(crate) struct Assembly {
    view: View,
    weights: bool,
    limit: usize,
    state: State,
}

impl Assembly {
    /// `weights`: whether their lane is followed.
    pub(crate) const fn new(view: View, weights: bool, limit: usize) -> Self {
        Self {
            view,
            weights,
            limit,
            state: State::Idle,
        }
    }

    /// Takes an update of one message.
    pub(crate) fn delta(&mut self, delta: v1::Delta) -> Taken {
        if let Some(refusal) = self.abandon() {
            return Taken::Broken(refusal);
        }
        let base = delta.base.unwrap_or_default();
        let mut offer = match self.read_versions(Some(&base), delta.target.as_ref()) {
            Ok(offer) => offer,
            Err(refusal) => return Taken::Broken(refusal),
        };
        match self.add(&mut offer, &delta.upserts, &delta.removals, 0) {
            Ok(_) => Taken::Complete(offer),
            Err(refusal) => Taken::Broken(refusal),
        }
    }

    /// Takes a part of an update. `answerable`: the message has a nonce, as only the last part has.
    pub(crate) fn chunk(&mut self, chunk: v1::UpdateChunk, answerable: bool) -> Taken {
        let refusal = match std::mem::replace(&mut self.state, State::Idle) {
            State::Broken(refusal) => refusal,
            State::Idle => match self.begin(&chunk) {
                Ok(collecting) => return self.go_on(collecting, &chunk, answerable),
                Err(refusal) => refusal,
            },
            State::Collecting(collecting) => return self.go_on(collecting, &chunk, answerable),
        };
        self.fail(refusal, answerable)
    }

    /// Drops a half-finished update, with the reason to refuse what came in between.
    fn abandon(&mut self) -> Option<Refusal> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => None,
            State::Broken(refusal) => Some(refusal),
            State::Collecting(collecting) => Some(Refusal::decode(
                Some(collecting.offer.target),
                "chunk",
                "another update came before the last chunk",
            )),
        }
    }

    /// The update under way cannot become one.
    pub(crate) fn fail(&mut self, refusal: Refusal, answerable: bool) -> Taken {
        if answerable {
            return Taken::Broken(refusal);
        }
        self.state = State::Broken(refusal);
        Taken::Incomplete
    }

    fn begin(&self, chunk: &v1::UpdateChunk) -> Result<Box<Collecting>, Refusal> {
        let offer = self.read_versions(chunk.base.as_ref(), chunk.target.as_ref())?;
        if chunk.count == 0 || chunk.count > MAX_CHUNKS {
            let message = "must be 1 to 65536";
            return Err(Refusal::decode(Some(offer.target), "chunk.count", message));
        }
        Ok(Box::new(Collecting {
            base: chunk.base.clone(),
            target: chunk.target.clone().unwrap_or_default(),
            count: chunk.count,
            next: 0,
            size: 0,
            offer,
        }))
    }

    fn go_on(&mut self, mut collecting: Box<Collecting>, chunk: &v1::UpdateChunk, answerable: bool) -> Taken {
        let target = Some(collecting.offer.target);
        let same_update = chunk.base == collecting.base && chunk.target.as_ref() == Some(&collecting.target);
        let is_last = collecting.next + 1 == collecting.count;
        let fault = if !same_update || chunk.count != collecting.count {
            Some("is of another update than the chunk before")
        } else if chunk.index != collecting.next {
            Some("is not the next one")
        } else if answerable != is_last {
            Some("has a nonce without being the last, or is the last without a nonce")
        } else {
            None
        };
        if let Some(message) = fault {
            return self.fail(Refusal::decode(target, "chunk", message), answerable);
        }
        let size = self.add(
            &mut collecting.offer,
            &chunk.upserts,
            &chunk.removals,
            collecting.size,
        );
        match size {
            Err(refusal) => self.fail(refusal, answerable),
            Ok(_) if is_last => Taken::Complete(collecting.offer),
            Ok(size) => {
                collecting.size = size;
                collecting.next += 1;
                self.state = State::Collecting(collecting);
                Taken::Incomplete
            }
        }
    }

    /// Adds rows to the offer and gives its new size.
    fn add(
        &self,
        offer: &mut Offer,
        upserts: &[v1::DiscoveryResource],
        removals: &[v1::ResourceRef],
        size: usize,
    ) -> Result<usize, Refusal> {
        let rows = upserts.iter().map(|row| row.payload.len() + row.id.len());
        let keys = removals.iter().map(|key| key.id.len());
        let size = rows.chain(keys).fold(size, |size, bytes| {
            size.saturating_add(bytes).saturating_add(ROW_OVERHEAD)
        });
        if size > self.limit {
            let message = format!("is larger than {} bytes", self.limit);
            let violation = Violation::new("", ViolationCode::OutOfRange, message);
            return Err(Refusal::new(NackReason::Limit, Some(offer.target), violation));
        }
        if offer.target.lane == Lane::Weights {
            return add_weights(offer, upserts, removals).map(|()| size);
        }
        let seen = |key: &ResourceKey| self.view.contains(key.kind);
        if let Some(violation) = upserts
            .iter()
            .filter_map(unsupported)
            .find(|it| it.resource.as_ref().is_some_and(seen))
        {
            return Err(Refusal::new(
                NackReason::Unsupported,
                Some(offer.target),
                violation,
            ));
        }
        let rows = upserts.iter().filter_map(wire::row_from_wire).map(own);
        offer.upserts.extend(rows.filter(|row| seen(&row.key)));
        offer
            .removals
            .extend(removals.iter().filter_map(wire::key_from_wire).filter(seen));
        Ok(size)
    }

    /// Reads the versions of an update.
    fn read_versions(
        &self,
        base: Option<&v1::Version>,
        target: Option<&v1::Version>,
    ) -> Result<Offer, Refusal> {
        let missing = || Refusal::decode(None, "target", "must be set");
        let target = target.ok_or_else(missing)?;
        let lane = match wire::lane_from_wire(target.lane) {
            Some(Lane::Weights) if !self.weights => None,
            lane => lane,
        };
        let Some(lane) = lane else {
            let violation = Violation::new("target.lane", ViolationCode::Invalid, "is not followed here");
            return Err(Refusal::new(NackReason::Unsupported, None, violation));
        };
        let malformed = |field, target| Refusal::decode(target, field, "is no version of the lane");
        let target = wire::version_from_wire(target).ok_or_else(|| malformed("target", None))?;
        let read_base = |base: &v1::Version| {
            let base = wire::version_from_wire(base).filter(|base| base.lane == lane);
            base.ok_or_else(|| malformed("base", Some(target)))
        };
        Ok(Offer {
            base: base.map(read_base).transpose()?,
            ..Offer::whole(target)
        })
    }
}

/// What a resource needs and this build does not understand; one of an unknown kind is not looked at.
fn unsupported(resource: &v1::DiscoveryResource) -> Option<Violation> {
    let key = ResourceKey::new(Kind::from_number(resource.kind)?, resource.id.as_str());
    let is_unknown = |word: &&String| word.parse::<Feature>().is_err();
    let word = resource.required_features.iter().find(is_unknown)?;
    let message = format!("needs the feature {word:?}, which this build does not understand");
    Some(Violation::new("", ViolationCode::Unsupported, message).of(key))
}

/// The row with a payload of its own: a slice would keep the whole message it came in.
fn own(row: Row) -> Row {
    Row {
        payload: Bytes::copy_from_slice(&row.payload),
        ..row
    }
}

/// Adds recommended weights to an offer. Resources of other kinds are passed over, as is what is not known.
fn add_weights(
    offer: &mut Offer,
    upserts: &[v1::DiscoveryResource],
    removals: &[v1::ResourceRef],
) -> Result<(), Refusal> {
    let target = offer.target;
    let broken = |violation: Violation| Refusal::new(NackReason::Decode, Some(target), violation);
    for row in upserts.iter().filter_map(wire::weight_row_from_wire) {
        let row = row.map_err(broken)?;
        offer.weights.push(WeightRow {
            payload: Bytes::copy_from_slice(&row.payload),
            ..row
        });
    }
    for key in removals.iter().filter_map(wire::weight_key_from_wire) {
        offer.weight_removals.push(key.map_err(broken)?);
    }
    Ok(())
}
