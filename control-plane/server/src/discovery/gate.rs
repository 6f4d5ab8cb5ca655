//! How many bytes of whole contents may be on their way to subscribers at once. The rest wait in line, and serve from
//! what they have meanwhile.

use std::{future::Future, pin::Pin, sync::Arc};

use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tyrscale_proto::v1::stream_config_response::Message;

/// What a permit stands for, in bytes.
const UNIT: usize = 1024;

/// Room on the way; given back when it is dropped.
pub(crate) type Room = OwnedSemaphorePermit;

/// A place in line.
pub(crate) type Line = Pin<Box<dyn Future<Output = Option<Room>> + Send + Sync>>;

/// The gate of all streams.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    room: Arc<Semaphore>,
    units: u32,
}

impl Gate {
    /// A gate for so many bytes; an update that is larger passes alone.
    pub(crate) fn new(bytes: usize) -> Self {
        let units = units_of(bytes);
        Self {
            room: Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(usize::MAX))),
            units,
        }
    }

    /// Room for an update, if there is some and nobody is in line.
    pub(crate) fn try_pass(&self, messages: &[Message]) -> Option<Room> {
        let room = Arc::clone(&self.room).try_acquire_many_owned(self.wanted(messages));
        room.ok()
    }

    /// Waits in line for room for an update.
    pub(crate) fn pass(
        &self,
        messages: &[Message],
    ) -> impl Future<Output = Option<Room>> + Send + Sync + use<> {
        let room = Arc::clone(&self.room).acquire_many_owned(self.wanted(messages));
        // The gate is never closed.
        async move { room.await.ok() }
    }

    /// Whether an update fits room that was given for another.
    pub(crate) fn fits(&self, room: &Room, messages: &[Message]) -> bool {
        let wanted = usize::try_from(self.wanted(messages)).unwrap_or(usize::MAX);
        room.num_permits() >= wanted
    }

    fn wanted(&self, messages: &[Message]) -> u32 {
        let size = |message: &Message| match message {
            Message::Delta(delta) => delta.encoded_len(),
            Message::Chunk(chunk) => chunk.encoded_len(),
            Message::Welcome(_) | Message::Heartbeat(_) | Message::Directive(_) => 0,
        };
        units_of(messages.iter().map(size).sum()).min(self.units)
    }
}

fn units_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use tyrscale_proto::v1;

    use super::*;

    fn update(bytes: usize) -> Vec<Message> {
        vec![Message::Chunk(v1::UpdateChunk {
            data: vec![0; bytes].into(),
            ..Default::default()
        })]
    }

    #[tokio::test]
    async fn what_does_not_fit_waits_until_there_is_room() {
        let gate = Gate::new(10 * UNIT);
        let first = gate.try_pass(&update(6 * UNIT)).unwrap();
        assert!(gate.try_pass(&update(6 * UNIT)).is_none());
        let small = gate.try_pass(&update(UNIT)).unwrap();
        drop(first);
        assert!(gate.pass(&update(6 * UNIT)).await.is_some());
        drop(small);
    }

    #[tokio::test]
    async fn what_is_larger_than_the_gate_passes_alone() {
        let gate = Gate::new(10 * UNIT);
        let whole = gate.pass(&update(50 * UNIT)).await.unwrap();
        assert!(gate.try_pass(&update(1)).is_none());
        drop(whole);
        assert!(gate.try_pass(&update(1)).is_some());
    }
}
