//! What reached the node: the last requests, and counts of all.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, Version};
use tokio::sync::watch;
use tokio::time::Instant;

/// Requests kept.
const MAX_REQUESTS: usize = 10_000;
/// Bytes of bodies kept.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Methods counted by name; calls of further ones count only as requests.
const MAX_METHODS: usize = 1_024;

/// A request as it arrived, its body whole.
#[derive(Debug, Clone)]
pub struct CapturedRequest {
    /// The HTTP method.
    pub method: Method,
    /// Path and query as the client wrote them; the whole URL over HTTP/2.
    pub uri: Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, in the coding it came in.
    pub body: Bytes,
    /// The body without its coding; the same bytes when it had none.
    pub decoded: Bytes,
    /// The JSON-RPC methods the body calls, in order; empty when it is no JSON-RPC.
    pub rpc_methods: Vec<String>,
    /// The client's end of the connection: equal for requests on one connection.
    pub peer: SocketAddr,
    /// When the body was complete.
    pub arrived: Instant,
}

#[derive(Debug, Default)]
struct Log {
    recent: VecDeque<Arc<CapturedRequest>>,
    recent_bytes: usize,
    by_method: BTreeMap<String, u64>,
}

/// Requests received, with a signal for those who wait for more.
#[derive(Debug)]
pub(crate) struct Traffic {
    log: Mutex<Log>,
    hits: watch::Sender<u64>,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        Self {
            log: Mutex::default(),
            hits: watch::Sender::new(0),
        }
    }

    pub(crate) fn record(&self, request: &Arc<CapturedRequest>) {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record(request);
        self.hits.send_modify(|hits| *hits += 1);
    }

    pub(crate) fn hits(&self) -> u64 {
        *self.hits.borrow()
    }

    pub(crate) fn hits_of(&self, method: &str) -> u64 {
        self.read(|log| log.by_method.get(method).copied().unwrap_or(0))
    }

    pub(crate) fn by_method(&self) -> BTreeMap<String, u64> {
        self.read(|log| log.by_method.clone())
    }

    pub(crate) fn recent(&self) -> Vec<Arc<CapturedRequest>> {
        self.read(|log| log.recent.iter().cloned().collect())
    }

    /// Returns once `enough` holds; it is asked again after each request.
    pub(crate) async fn wait_until(&self, mut enough: impl FnMut(&Self) -> bool) {
        let mut hits = self.hits.subscribe();
        while !enough(self) {
            if hits.changed().await.is_err() {
                return;
            }
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Log) -> T) -> T {
        read(&self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Log {
    fn record(&mut self, request: &Arc<CapturedRequest>) {
        for method in &request.rpc_methods {
            if let Some(count) = self.by_method.get_mut(method) {
                *count += 1;
            } else if self.by_method.len() < MAX_METHODS {
                self.by_method.insert(method.clone(), 1);
            }
        }
        self.recent_bytes += request.body.len();
        self.recent.push_back(Arc::clone(request));
        while self.recent.len() > MAX_REQUESTS || self.recent_bytes > MAX_BYTES {
            let Some(oldest) = self.recent.pop_front() else {
                return;
            };
            self.recent_bytes -= oldest.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: Bytes, method: &str) -> Arc<CapturedRequest> {
        Arc::new(CapturedRequest {
            method: Method::POST,
            uri: Uri::from_static("/"),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            decoded: body.clone(),
            body,
            rpc_methods: vec![method.to_owned()],
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            arrived: Instant::now(),
        })
    }

    #[test]
    fn only_the_last_requests_are_kept_and_all_are_counted() {
        let traffic = Traffic::new();
        for number in 0..MAX_REQUESTS + 5 {
            traffic.record(&request(Bytes::from(number.to_string()), "eth_call"));
        }
        let recent = traffic.recent();
        assert_eq!(recent.len(), MAX_REQUESTS);
        assert_eq!(recent[0].body, "5");
        assert_eq!(traffic.hits_of("eth_call"), 10_005);
    }

    #[test]
    fn kept_bodies_and_counted_methods_are_bounded() {
        let traffic = Traffic::new();
        let body = Bytes::from(vec![0; MAX_BYTES / 2]);
        for number in 0..MAX_METHODS + 5 {
            traffic.record(&request(body.clone(), &number.to_string()));
        }
        assert_eq!(traffic.recent().len(), 2);
        assert_eq!(traffic.by_method().len(), MAX_METHODS);
    }
}
