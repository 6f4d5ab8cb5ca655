//! What the gateway takes on at once, all routes together. A request beyond it is refused at once, before its body is
//! read, so that what is under way gets done. Bytes count when they come, not when they are announced: an announcement
//! costs nothing, and must not keep others out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

mod connections;

pub(crate) use connections::ClientConnections;

/// Bits that count the bytes held; those above count the requests.
const BYTE_BITS: u32 = 40;
const ONE_REQUEST: u64 = 1 << BYTE_BITS;

/// So many bytes of a body are taken before they come, so that most bodies are counted once.
pub(crate) const AHEAD: usize = 16 * 1024;

/// The limits that something may be beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shed {
    /// Requests in progress.
    Requests,
    /// Bytes of requests in progress.
    RequestBytes,
    /// Connections of one client.
    ClientConnections,
}

impl Shed {
    pub(crate) const ALL: [Self; 3] = [Self::Requests, Self::RequestBytes, Self::ClientConnections];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::RequestBytes => "request_bytes",
            Self::ClientConnections => "client_connections",
        }
    }
}

/// The requests in progress and what is held of them, in one number, so that both are taken or neither.
#[derive(Debug)]
pub(crate) struct Load {
    taken: AtomicU64,
    max_requests: u64,
    max_bytes: u64,
}

/// One request's part of the load; given back when it is dropped.
#[derive(Debug)]
#[must_use = "dropped, the place is free again"]
pub(crate) struct Held<'l> {
    of: &'l Load,
    bytes: u64,
}

impl Load {
    /// The most requests, and the most bytes of them, that can be told to be allowed.
    pub(crate) const MAX_REQUESTS: usize = 1 << 23;
    pub(crate) const MAX_BYTES: usize = 1 << 39;

    pub(crate) const fn new(max_requests: usize, max_bytes: usize) -> Self {
        Self {
            taken: AtomicU64::new(0),
            max_requests: at_most(max_requests, Self::MAX_REQUESTS),
            max_bytes: at_most(max_bytes, Self::MAX_BYTES),
        }
    }

    /// Takes in a request that announces a body of so many bytes, of which the first [`AHEAD`] are taken at once.
    ///
    /// # Errors
    /// The limit that it is beyond, with all that it announces.
    pub(crate) fn take(&self, announced: usize) -> Result<Held<'_>, Shed> {
        let announced = at_most(announced, Self::MAX_BYTES);
        let bytes = announced.min(AHEAD as u64);
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let (requests, held) = split(taken);
            if requests >= self.max_requests {
                return Err(Shed::Requests);
            }
            if held + announced > self.max_bytes {
                return Err(Shed::RequestBytes);
            }
            let more = taken + ONE_REQUEST + bytes;
            match self
                .taken
                .compare_exchange_weak(taken, more, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(Held { of: self, bytes }),
                Err(now) => taken = now,
            }
        }
    }

    /// Takes so many bytes more; false when there is no room for them.
    fn take_bytes(&self, bytes: u64) -> bool {
        let more = |taken| (split(taken).1 + bytes <= self.max_bytes).then_some(taken + bytes);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    fn give_back(&self, taken: u64) {
        self.taken.fetch_sub(taken, Ordering::Relaxed);
    }

    /// The requests in progress, and the bytes held of them and their answers.
    pub(crate) fn taken(&self) -> (u64, u64) {
        split(self.taken.load(Ordering::Relaxed))
    }
}

impl Held<'_> {
    /// So many bytes have come of the body; false when there is no room for them.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let bytes = at_most(bytes, Load::MAX_BYTES);
        if bytes > self.bytes {
            if !self.of.take_bytes(bytes - self.bytes) {
                return false;
            }
            self.bytes = bytes;
        }
        true
    }

    /// Gives back what the body turned out not to need.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = at_most(bytes, Load::MAX_BYTES);
        if let Some(surplus @ 1..) = self.bytes.checked_sub(bytes) {
            self.of.give_back(surplus);
            self.bytes = bytes;
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.of.give_back(ONE_REQUEST + self.bytes);
    }
}

/// The bytes of an answer that is held; given back when it is dropped. A small one costs nothing.
#[derive(Debug)]
pub(crate) struct Room<'l> {
    of: &'l Arc<Load>,
    bytes: u64,
}

/// The answer is more than there is room for.
#[derive(Debug)]
pub(crate) struct NoRoom;

impl<'l> Room<'l> {
    /// So much of an answer is free.
    pub(crate) const FREE: usize = 64 * 1024;

    pub(crate) const fn new(of: &'l Arc<Load>) -> Self {
        Self { of, bytes: 0 }
    }

    /// So many bytes are held.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(crate) fn cover(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if bytes <= Self::FREE {
            return Ok(());
        }
        let more = at_most(bytes, Load::MAX_BYTES).saturating_sub(self.bytes);
        if !self.of.take_bytes(more) {
            return Err(NoRoom);
        }
        self.bytes += more;
        Ok(())
    }

    /// The bytes, whose room is given back with the last who holds them.
    pub(crate) fn hold(mut self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 {
            return bytes;
        }
        Bytes::from_owner(Counted {
            bytes,
            of: Arc::clone(self.of),
            room: std::mem::take(&mut self.bytes),
        })
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.of.give_back(self.bytes);
        }
    }
}

/// Bytes that count.
struct Counted {
    bytes: Bytes,
    of: Arc<Load>,
    room: u64,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.of.give_back(self.room);
    }
}

const fn split(taken: u64) -> (u64, u64) {
    (taken >> BYTE_BITS, taken & (ONE_REQUEST - 1))
}

const fn at_most(number: usize, most: usize) -> u64 {
    if number < most { number as u64 } else { most as u64 }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_beyond_either_limit_is_refused_until_there_is_room() {
        let load = Load::new(2, 100);
        let first = load.take(60).unwrap();
        assert_eq!(load.take(41).err(), Some(Shed::RequestBytes));
        let second = load.take(40).unwrap();
        assert_eq!(load.take(0).err(), Some(Shed::Requests));
        drop(first);
        assert_eq!(load.taken(), (1, 40));
        let mut third = load.take(60).unwrap();
        third.shrink(10);
        third.shrink(20);
        assert_eq!(load.taken(), (2, 50));
        drop((second, third));
        assert_eq!(load.taken(), (0, 0));
    }

    #[test]
    fn what_is_announced_costs_nothing_before_it_comes() {
        let load = Load::new(100, 2_000_000);
        let mut held: Vec<_> = (0..50).map(|_| load.take(1_000_000).unwrap()).collect();
        assert_eq!(load.taken(), (50, 50 * AHEAD as u64));
        assert!(
            load.take(2_000_000).is_err(),
            "with what has come there is no room"
        );
        assert!(held[0].grow(1_000_000));
        assert!(!held[1].grow(1_000_000));
        assert!(held[1].grow(AHEAD));
        drop(held);
        assert_eq!(load.taken(), (0, 0));
    }

    #[test]
    fn the_bytes_of_an_answer_count_until_the_last_who_holds_them() {
        let load = Arc::new(Load::new(1, 300_000));
        let mut room = Room::new(&load);
        room.cover(Room::FREE).unwrap();
        assert_eq!(load.taken(), (0, 0));
        room.cover(200_000).unwrap();
        assert!(Room::new(&load).cover(200_000).is_err());
        assert!(room.cover(400_000).is_err());
        let part = room.hold(Bytes::from(vec![0; 200_000])).slice(1..3);
        assert_eq!(load.taken(), (0, 200_000));
        drop(part);
        assert_eq!(load.taken(), (0, 0));
    }

    #[test]
    fn bodies_of_any_length_do_not_spoil_the_count() {
        let load = Load::new(usize::MAX, usize::MAX);
        let mut largest = load.take(usize::MAX).unwrap();
        assert!(largest.grow(usize::MAX));
        assert_eq!(load.take(1).err(), Some(Shed::RequestBytes));
        assert_eq!(load.taken().0, 1);
        drop(largest);
        assert_eq!(load.taken(), (0, 0));
    }

    #[test]
    fn threads_take_no_more_than_there_is_and_give_all_back() {
        let load = Load::new(3, 30);
        let take_and_leave = || {
            for bytes in (0..2_000).map(|turn| turn % 12) {
                let place = load.take(bytes);
                let (requests, held) = load.taken();
                assert!(requests <= 3 && held <= 30);
                drop(place);
            }
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(take_and_leave);
            }
        });
        assert_eq!(load.taken(), (0, 0));
    }
}
