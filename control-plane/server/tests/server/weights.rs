//! Recommended weights: a lane of their own on the stream.

use prost::Message as _;
use tonic::{Code, Status};
use tyrscale_model::{Lane, Revision, UpstreamId, Version, WeightRow, Weights, wire};
use tyrscale_proto::v1::{
    self, SyncState, coordination_service_client::CoordinationServiceClient,
    recommendation_service_client::RecommendationServiceClient, resource::Resource,
    stream_config_request as request, stream_config_response::Message,
};

use crate::{
    follower::{Follower, Wire, hello},
    plane::{Plane, id, route, routes, upstream},
    status::until,
};

const ROUTE: usize = 1;
const UPSTREAM: usize = 2;

/// A plane with a route of two upstreams, of weight 50 each.
async fn plane() -> (Plane, v1::Version) {
    let plane = Plane::start_with(|config| config.weights.min_interval_ms = 0).await;
    let version = plane.put(route_and_upstreams(50.0)).await;
    (plane, version)
}

fn route_and_upstreams(weight: f64) -> Vec<Resource> {
    let upstreams = [UPSTREAM, UPSTREAM + 1].map(|number| upstream(number, ROUTE, weight));
    let mut resources = vec![Resource::Route(route(ROUTE))];
    resources.extend(upstreams.map(Resource::Upstream));
    resources
}

fn weights(plane: &Plane) -> RecommendationServiceClient<tonic::transport::Channel> {
    RecommendationServiceClient::new(plane.channel.clone())
}

fn set(weight: f64) -> v1::SetWeightsRequest {
    v1::SetWeightsRequest {
        route_id: id(ROUTE),
        weights: vec![v1::Weight {
            upstream_id: id(UPSTREAM),
            weight,
            ..v1::Weight::default()
        }],
        ..v1::SetWeightsRequest::default()
    }
}

async fn recommend(plane: &Plane, weight: f64) -> v1::SetWeightsResponse {
    weights(plane)
        .set_weights(set(weight))
        .await
        .unwrap()
        .into_inner()
}

/// A gateway that follows both lanes.
struct Gateway {
    wire: Wire,
    weights: Weights,
    plans: Vec<v1::LanePlan>,
}

/// What came in a lane.
struct Came {
    nonce: u64,
    target: v1::Version,
    base: Option<v1::Version>,
    upserts: Vec<v1::DiscoveryResource>,
    removals: Vec<v1::ResourceRef>,
    size: usize,
}

impl Gateway {
    async fn connect(plane: &Plane, have: Vec<v1::Version>) -> Self {
        let mut wire = Wire::open(&plane.channel).await;
        let kinds = [v1::Kind::Route, v1::Kind::Upstream, v1::Kind::Weight];
        let hello = v1::Hello {
            selector: Some(v1::Selector {
                kinds: kinds.iter().map(|kind| i32::from(*kind)).collect(),
                ..v1::Selector::default()
            }),
            features: vec!["terse".to_owned()],
            have,
            ..hello("gw", "boot")
        };
        wire.say(request::Message::Hello(hello)).await;
        let welcome = wire.welcome().await;
        assert_eq!(welcome.features, ["terse"]);
        Self {
            wire,
            weights: Weights::empty(tyrscale_model::Lineage([0; 16])),
            plans: welcome.lanes,
        }
    }

    async fn next(&mut self) -> Came {
        let response = self.wire.next().await.unwrap();
        let (size, nonce) = (response.encoded_len(), response.nonce);
        match response.message.unwrap() {
            Message::Delta(delta) => Came {
                nonce,
                size,
                target: delta.target.unwrap(),
                base: delta.base,
                upserts: delta.upserts,
                removals: delta.removals,
            },
            Message::Chunk(chunk) => Came {
                nonce,
                size,
                target: chunk.target.unwrap(),
                base: chunk.base,
                upserts: chunk.upserts,
                removals: chunk.removals,
            },
            other => panic!("{other:?}"),
        }
    }

    async fn ack(&mut self, came: &Came, running: v1::Version) {
        let ack = v1::Ack {
            nonce: came.nonce,
            running: Some(running),
            ..v1::Ack::default()
        };
        self.wire.say(request::Message::Ack(ack)).await;
    }

    /// Takes the next update of the lane of weights, and proves it.
    async fn take_weights(&mut self) -> Came {
        let came = self.next().await;
        assert_eq!(came.target.lane(), v1::Lane::Weights);
        let rows = came
            .upserts
            .iter()
            .map(|row| wire::weight_row_from_wire(row).unwrap());
        let rows: Vec<WeightRow> = rows.map(Result::unwrap).collect();
        let gone = came
            .removals
            .iter()
            .map(|key| wire::weight_key_from_wire(key).unwrap());
        let gone: Vec<UpstreamId> = gone.map(Result::unwrap).collect();
        let lineage = match came.target.lineage.as_ref().try_into() {
            Ok(bytes) => tyrscale_model::Lineage(bytes),
            Err(_) => self.weights.lineage(),
        };
        let start = match came.base {
            Some(_) => self.weights.clone(),
            None => Weights::empty(lineage),
        };
        let revision = Revision(came.target.revision);
        self.weights = start.advance(lineage, revision, &rows, &gone).unwrap();
        assert_eq!(self.weights.digest().0, came.target.digest.as_ref());
        self.ack(&came, wire::version_to_wire(&self.weights.version()))
            .await;
        came
    }

    /// Takes the next update of the configuration.
    async fn take_config(&mut self, lineage: &v1::Version) -> v1::Version {
        let came = self.next().await;
        assert_eq!(came.target.lane(), v1::Lane::Config);
        let running = v1::Version {
            lineage: lineage.lineage.clone(),
            ..came.target.clone()
        };
        self.ack(&came, running.clone()).await;
        running
    }

    fn plan(&self, lane: Lane) -> v1::Resume {
        let lane = i32::from(wire::lane_to_wire(lane));
        self.plans.iter().find(|plan| plan.lane == lane).unwrap().resume()
    }
}

#[tokio::test]
async fn one_weight_costs_a_gateway_at_most_160_bytes() {
    let (plane, config) = plane().await;
    let mut gateway = Gateway::connect(&plane, Vec::new()).await;
    gateway.take_config(&config).await;
    recommend(&plane, 60.0).await;
    gateway.take_weights().await;
    recommend(&plane, 70.0).await;
    let came = gateway.take_weights().await;
    assert!(came.base.is_some());
    assert_eq!(came.upserts.len(), 1);
    assert!(came.size <= 160, "{} bytes", came.size);
    plane.stop().await;
}

/// Lanes do not block one another.
#[tokio::test]
async fn weights_pass_a_configuration_that_waits_in_line_for_the_whole_content() {
    let plane = Plane::start_with(|config| {
        config.weights.min_interval_ms = 0;
        config.snapshot_room = 65_536;
    })
    .await;
    plane.put(routes(300, "a")).await;
    let config = plane.put(route_and_upstreams(50.0)).await;
    let mut holder = Follower::connect(&plane.channel, "holder").await.0;
    let whole = holder.receive().await;
    let mut gateway = Gateway::connect(&plane, Vec::new()).await;
    let lane = until(&plane, "gw", SyncState::Held).await.lanes.remove(0);
    assert_eq!(lane.reason, "waits in line for the whole content");
    for weight in [60.0, 70.0] {
        recommend(&plane, weight).await;
        gateway.take_weights().await;
    }
    holder.apply(&whole);
    holder.ack(&whole).await;
    gateway.take_config(&config).await;
    until(&plane, "gw", SyncState::Synced).await;
    plane.stop().await;
}

#[tokio::test]
async fn c26_only_the_lane_that_is_behind_is_sent() {
    let (plane, config) = plane().await;
    let mut gateway = Gateway::connect(&plane, Vec::new()).await;
    let running = gateway.take_config(&config).await;
    recommend(&plane, 60.0).await;
    gateway.take_weights().await;
    let have = vec![running, wire::version_to_wire(&gateway.weights.version())];
    drop(gateway);
    plane.put_network("another", 1).await;
    plane
        .put(vec![Resource::Route(v1::Route {
            path: "/other".to_owned(),
            ..route(ROUTE)
        })])
        .await;
    let mut back = Gateway::connect(&plane, have).await;
    assert_eq!(back.plan(Lane::Weights), v1::Resume::InSync);
    assert_ne!(back.plan(Lane::Config), v1::Resume::InSync);
    back.take_config(&config).await;
    back.wire.stays_quiet().await;
    plane.stop().await;
}

#[tokio::test]
async fn c80_a_configuration_that_is_not_answered_does_not_hold_weights_up() {
    let (plane, config) = plane().await;
    let mut gateway = Gateway::connect(&plane, Vec::new()).await;
    gateway.take_config(&config).await;
    plane.put(route_and_upstreams(40.0)).await;
    let unanswered = gateway.next().await;
    assert_eq!(unanswered.target.lane(), v1::Lane::Config);
    for weight in [60.0, 70.0] {
        recommend(&plane, weight).await;
        let came = gateway.take_weights().await;
        assert!(came.nonce > unanswered.nonce);
    }
    let refusal = v1::Nack {
        nonce: unanswered.nonce,
        reason: v1::NackReason::Invalid.into(),
        ..v1::Nack::default()
    };
    gateway.wire.say(request::Message::Nack(refusal)).await;
    recommend(&plane, 65.0).await;
    gateway.take_weights().await;
    plane.stop().await;
}

#[tokio::test]
async fn a_weight_ends_with_its_time_and_a_cleared_one_at_once() {
    let (plane, config) = plane().await;
    let mut gateway = Gateway::connect(&plane, Vec::new()).await;
    gateway.take_config(&config).await;
    let mut short = set(60.0);
    short.weights[0].ttl = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    weights(&plane).set_weights(short).await.unwrap();
    assert_eq!(gateway.take_weights().await.upserts.len(), 1);
    assert_eq!(gateway.take_weights().await.removals.len(), 1, "it expired");
    recommend(&plane, 60.0).await;
    gateway.take_weights().await;
    let cleared = weights(&plane)
        .clear_weights(v1::ClearWeightsRequest::default())
        .await
        .unwrap();
    assert_eq!(cleared.into_inner().cleared, 1);
    assert_eq!(gateway.take_weights().await.removals.len(), 1);
    assert!(gateway.weights.is_empty());
    plane.stop().await;
}

#[tokio::test]
async fn the_operators_word_bounds_and_outlives_what_is_recommended() {
    let (plane, config) = plane().await;
    recommend(&plane, 90.0).await;
    let standing = async |plane: &Plane| {
        let request = v1::ListWeightsRequest { route_id: id(ROUTE) };
        let listed = weights(plane).list_weights(request).await.unwrap().into_inner();
        let one = listed
            .weights
            .into_iter()
            .find(|it| it.upstream_id == id(UPSTREAM))
            .unwrap();
        (one.standing(), one.effective)
    };
    assert_eq!(standing(&plane).await, (v1::WeightStanding::Recommended, 90.0));
    plane.put(route_and_upstreams(20.0)).await;
    assert_eq!(standing(&plane).await, (v1::WeightStanding::Outdated, 20.0));
    let late = v1::SetWeightsRequest {
        based_on_config_revision: config.revision,
        ..set(30.0)
    };
    let refused: Status = weights(&plane).set_weights(late).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    assert!(refused.message().contains(&id(UPSTREAM)), "{}", refused.message());
    recommend(&plane, 30.0).await;
    assert_eq!(standing(&plane).await, (v1::WeightStanding::Recommended, 30.0));
    plane.put(route_and_upstreams(0.0)).await;
    assert_eq!(standing(&plane).await, (v1::WeightStanding::Withheld, 0.0));
    plane.stop().await;
}

/// Leads the recommenders, or gives that up; gives the token.
async fn lead(plane: &Plane, candidate: &str, resign: bool) -> u64 {
    let mut client = CoordinationServiceClient::new(plane.channel.clone());
    let request = v1::CampaignRequest {
        election: "recommender".to_owned(),
        candidate_id: candidate.to_owned(),
        ttl: None,
        resign,
    };
    let answer = client.campaign(request).await.unwrap().into_inner();
    assert_eq!(answer.leader, !resign);
    answer.fencing_token
}

#[tokio::test]
async fn what_goes_beyond_the_rails_is_moved_and_told_and_a_past_leader_is_refused() {
    let (plane, _) = plane().await;
    let led = |token, weight| v1::SetWeightsRequest {
        fencing_token: Some(token),
        ..set(weight)
    };
    let first = lead(&plane, "one", false).await;
    let answer = weights(&plane)
        .set_weights(led(first, 0.5))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.clamped.len(), 1);
    assert_eq!(answer.weights[0].weight, 1.0);
    lead(&plane, "one", true).await;
    lead(&plane, "two", false).await;
    let refused = weights(&plane).set_weights(led(first, 10.0)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    let second = lead(&plane, "two", false).await;
    let again = weights(&plane)
        .set_weights(led(second, 1.0))
        .await
        .unwrap()
        .into_inner();
    assert!(again.unchanged);
    plane.stop().await;
}

#[tokio::test]
async fn a_control_plane_that_begins_anew_leaves_gateways_their_weights_until_it_has_some() {
    let (plane, config) = plane().await;
    let mut gateway = Gateway::connect(&plane, Vec::new()).await;
    let running = gateway.take_config(&config).await;
    drop(gateway);
    let elsewhere = Version {
        lineage: tyrscale_model::Lineage([9; 16]),
        ..Weights::empty(tyrscale_model::Lineage([9; 16]))
            .next(&[], &[])
            .version()
    };
    let elsewhere = Version {
        digest: tyrscale_model::Digest([7; 32]),
        ..elsewhere
    };
    let have = vec![running, wire::version_to_wire(&elsewhere)];
    let mut back = Gateway::connect(&plane, have).await;
    assert_eq!(back.plan(Lane::Weights), v1::Resume::Hold);
    back.wire.stays_quiet().await;
    recommend(&plane, 60.0).await;
    let came = back.take_weights().await;
    assert!(came.base.is_none(), "all of it");
    plane.stop().await;
}
