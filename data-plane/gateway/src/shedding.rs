//! What the gateway takes on at once, all routes together. A request beyond it is refused at once, before its body is
//! read, so that what is under way gets done.

use std::sync::atomic::{AtomicU64, Ordering};

mod connections;

pub(crate) use connections::ClientConnections;

/// Bits that count the bytes held; those above count the requests.
const BYTE_BITS: u32 = 40;
const ONE_REQUEST: u64 = 1 << BYTE_BITS;

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

    /// Takes in a request with a body of so many bytes.
    ///
    /// # Errors
    /// The limit that it is beyond.
    pub(crate) fn take(&self, bytes: usize) -> Result<Held<'_>, Shed> {
        let bytes = at_most(bytes, Self::MAX_BYTES);
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let (requests, held) = split(taken);
            if requests >= self.max_requests {
                return Err(Shed::Requests);
            }
            if held + bytes > self.max_bytes {
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

    /// The requests in progress, and the bytes held of them.
    pub(crate) fn taken(&self) -> (u64, u64) {
        split(self.taken.load(Ordering::Relaxed))
    }
}

impl Held<'_> {
    /// Gives back what the body turned out not to need.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = at_most(bytes, Load::MAX_BYTES);
        if let Some(surplus @ 1..) = self.bytes.checked_sub(bytes) {
            self.of.taken.fetch_sub(surplus, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.of
            .taken
            .fetch_sub(ONE_REQUEST + self.bytes, Ordering::Relaxed);
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
    fn bodies_of_any_length_do_not_spoil_the_count() {
        let load = Load::new(usize::MAX, usize::MAX);
        let largest = load.take(usize::MAX).unwrap();
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
