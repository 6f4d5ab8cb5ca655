//! Waiting for a key to change.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;
use tonic::{Request, Status, metadata::MetadataValue, transport::Channel};
use tyrscale_etcd::{
    WatchCreateRequest, WatchRequest, watch_client::WatchClient, watch_request::RequestUnion,
};

/// How long a change is waited for.
const WAIT: Duration = Duration::from_secs(10);
/// Makes a watch end when its member has lost the others. Source: etcd, package "rpctypes".
const REQUIRE_LEADER: &str = "hasleader";

/// Returns when the key was written at this revision of etcd's or later, when the watch ends, or after a bounded time:
/// the caller looks at the key itself.
pub(super) async fn changed(mut client: WatchClient<Channel>, key: Bytes, since: i64) -> Result<(), Status> {
    let create = WatchCreateRequest {
        key,
        range_end: Bytes::new(),
        start_revision: since,
    };
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    // The stream of requests stays open until the wait is over.
    let mut requests = Request::new(stream::iter([request]).chain(stream::pending()));
    requests
        .metadata_mut()
        .insert(REQUIRE_LEADER, MetadataValue::from_static("true"));
    let waiting = async {
        let mut answers = client.watch(requests).await?.into_inner();
        // The first answer only says that the watch stands.
        while let Some(answer) = answers.message().await? {
            if answer.canceled || !answer.events.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    };
    timeout(WAIT, waiting).await.unwrap_or(Ok(()))
}
