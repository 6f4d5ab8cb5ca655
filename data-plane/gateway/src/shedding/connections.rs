//! How many connections each client has open.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Parts with a lock each, so that threads seldom meet.
const SHARDS: usize = 16;

/// The open connections by address. It knows the clients that are connected, and no others.
#[derive(Debug)]
pub(crate) struct ClientConnections {
    /// Of one address; 0: any number.
    most: usize,
    hasher: RandomState,
    shards: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
}

/// One connection's part of its client's; given back when it is dropped.
#[derive(Debug)]
#[must_use = "dropped, the place is free again"]
pub(crate) struct ClientConnection {
    /// `None` when nobody counts.
    of: Option<(Arc<ClientConnections>, IpAddr)>,
}

impl ClientConnections {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Counts a connection of an address; `None` when it has as many as it may have.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<ClientConnection> {
        if self.most == 0 {
            return Some(ClientConnection { of: None });
        }
        let address = address.to_canonical();
        let taken = self.change(address, |open| {
            let is_free = *open < self.most;
            *open += usize::from(is_free);
            is_free
        });
        taken.then(|| ClientConnection {
            of: Some((Arc::clone(self), address)),
        })
    }

    fn change<T: Default>(&self, address: IpAddr, change: impl FnOnce(&mut usize) -> T) -> T {
        let spread = usize::try_from(self.hasher.hash_one(address) % SHARDS as u64).unwrap_or(0);
        let Some(shard) = self.shards.get(spread) else {
            return T::default();
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let open = shard.entry(address).or_default();
        let changed = change(open);
        if *open == 0 {
            shard.remove(&address);
        }
        changed
    }

    #[cfg(test)]
    fn known(&self) -> usize {
        let len = |shard: &Mutex<HashMap<_, _>>| shard.lock().unwrap().len();
        self.shards.iter().map(len).sum()
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        if let Some((of, address)) = &self.of {
            of.change(*address, |open| *open = open.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_so_many_and_is_forgotten_with_the_last() {
        let connections = Arc::new(ClientConnections::new(2));
        let [one, mapped, other] = ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"].map(|it| it.parse().unwrap());
        let first = connections.take(one).unwrap();
        let second = connections.take(mapped).unwrap();
        assert!(connections.take(one).is_none());
        let third = connections.take(other).unwrap();
        drop(first);
        let again = connections.take(one).unwrap();
        drop((second, third, again));
        assert_eq!(connections.known(), 0);
    }

    #[test]
    fn without_a_limit_nobody_counts() {
        let connections = Arc::new(ClientConnections::new(0));
        let held: Vec<_> = (0..100)
            .map(|_| connections.take([10, 0, 0, 1].into()).unwrap())
            .collect();
        assert_eq!(connections.known(), 0);
        drop(held);
    }
}
