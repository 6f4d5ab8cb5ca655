//! Membership of those who share the rpcs: says that this one lives, and learns its share.

use std::{collections::BTreeSet, time::Duration};

use http::Uri;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tyrscale_model::RpcId;
use tyrscale_proto::v1::{self, coordination_service_client::CoordinationServiceClient};
use tyrscale_tls::ClientTls;

use crate::{
    ClientError, Timing,
    uplink::{Uplink, UplinkError},
};

/// How long the stream may take to stand, or a message to be taken.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// The largest answer: the ids of a hundred thousand rpcs, in bytes.
const MAX_ANSWER: usize = 8 << 20;
/// A lease is renewed so many times in its length.
const RENEWALS: u32 = 3;
const EXPORTERS: &str = "exporters";

/// Who joins and where.
#[derive(Debug, Clone)]
pub struct MemberConfig {
    /// `http://host:port` or `https://host:port` of control planes, tried in turn; at least one.
    pub endpoints: Vec<Uri>,
    /// For control planes at `https`.
    pub tls: ClientTls,
    /// One per running process.
    pub member_id: String,
    /// Silent for so long, it is taken for dead; 1 to 300 seconds.
    pub ttl: Duration,
    /// How much of the work it takes, against the others; 1 to 100.
    pub capacity: u32,
    /// Intervals and limits of time.
    pub timing: Timing,
}

/// What a member is to measure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// How many members there are.
    pub members: usize,
    /// Its own rpcs.
    pub rpcs: BTreeSet<RpcId>,
}

/// Is a member until `shutdown`, then says that it leaves. `share` is told what to measure; while the control plane is
/// away it stays as it was.
///
/// # Errors
/// [`ClientError::NoEndpoint`], [`ClientError::InvalidEndpoint`] or [`ClientError::InvalidNodeId`], at once.
pub async fn run(
    config: MemberConfig,
    share: watch::Sender<Option<Share>>,
    shutdown: CancellationToken,
) -> Result<(), ClientError> {
    let mut uplink = Uplink::new(
        (&config.endpoints, &config.tls),
        &config.member_id,
        config.timing.clone(),
        "membership",
    )?;
    let keep = async {
        loop {
            let channel = uplink.connect().await;
            match hold(&config, channel, &share, &shutdown).await {
                Ok(()) => return,
                Err(error) => uplink.ended(&error).await,
            }
        }
    };
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        () = keep => {}
        () = overdue => {}
    }
    Ok(())
}

/// Holds one stream until it ends, or until it has said farewell.
async fn hold(
    config: &MemberConfig,
    channel: Channel,
    share: &watch::Sender<Option<Share>>,
    shutdown: &CancellationToken,
) -> Result<(), UplinkError> {
    let (outbound, requests) = mpsc::channel(1);
    let mut client = CoordinationServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);
    let opening = client.join(ReceiverStream::new(requests));
    let mut answers = timeout(PATIENCE, opening)
        .await
        .map_err(|_| UplinkError::Silent)??
        .into_inner();
    let mut renewals = interval(config.ttl / RENEWALS);
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => {
                let farewell = v1::JoinRequest { leave: true, ..request(config) };
                outbound.send(farewell).await.map_err(|_| UplinkError::Closed)?;
                // The end of the stream tells that it was heard.
                while answers.message().await?.is_some() {}
                return Ok(());
            }
            _ = renewals.tick() => {
                let sent = timeout(PATIENCE, outbound.send(request(config))).await;
                sent.map_err(|_| UplinkError::Silent)?.map_err(|_| UplinkError::Closed)?;
            }
            answer = answers.message() => {
                let answer = answer?.ok_or(UplinkError::Closed)?;
                share.send_replace(Some(read(&answer)));
            }
        }
    }
}

fn request(config: &MemberConfig) -> v1::JoinRequest {
    v1::JoinRequest {
        member_set: EXPORTERS.to_owned(),
        member_id: config.member_id.clone(),
        ttl: config.ttl.try_into().ok(),
        capacity: config.capacity,
        leave: false,
    }
}

fn read(answer: &v1::JoinResponse) -> Share {
    Share {
        members: answer.members.len(),
        rpcs: answer
            .assigned_rpc_ids
            .iter()
            .filter_map(|id| id.parse().ok())
            .collect(),
    }
}
