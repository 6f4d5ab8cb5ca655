//! `tyrctl rollout`, `freeze` and `unfreeze`: how changes reach the gateways.

use serde::Serialize;
use tyrscale_model::wire;
use tyrscale_proto::v1;

use crate::{
    Connection, Failure, Output,
    args::TransportKind,
    output::{Columns, say},
    status::{time, word},
    transport::{GrpcClient, signed},
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Shows the last rollouts, the newest first.
    List,
    /// Shows a rollout: its stage, and who runs it, refused it or has not answered.
    Status(Which),
    /// Stays in the stage it is in.
    Pause(Which),
    /// Goes on, also from a halt.
    Resume(Which),
    /// Gives it up: what it changed is restored by a new revision.
    Abort(Which),
    /// Gives it to all gateways now.
    Promote(Which),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The rollout; the newest when it is not given.
    #[arg(value_name = "ID", default_value_t = 0, hide_default_value = true)]
    id: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Freeze {
    /// Why, for those who wonder.
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
}

/// What is shown of a rollout.
#[derive(Debug, Serialize)]
struct Rollout {
    id: u64,
    revision: u64,
    state: String,
    /// Such as `2/3`; of a finished one, `all`.
    stage: String,
    policy: String,
    why: String,
    acked: Vec<String>,
    nacked: Vec<String>,
    pending: Vec<String>,
    base_revision: u64,
    reverted_by: Option<u64>,
    start: Option<String>,
    end: Option<String>,
}

const COLUMNS: Columns = &["id", "revision", "state", "stage", "policy", "start", "why"];

async fn connect(connection: &Connection) -> Result<GrpcClient, Failure> {
    if connection.transport == TransportKind::Rest {
        return Err(Failure::Usage(
            "REST knows no rollouts: use --transport grpc".to_owned(),
        ));
    }
    GrpcClient::connect(connection).await
}

pub(crate) async fn run(verb: Verb, connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = connect(connection).await?;
    let (which, action) = match verb {
        Verb::List => return list(&client, output).await,
        Verb::Status(which) => return show(&client, which.id, output).await,
        Verb::Pause(which) => (which, v1::RolloutAction::Pause),
        Verb::Resume(which) => (which, v1::RolloutAction::Resume),
        Verb::Abort(which) => (which, v1::RolloutAction::Abort),
        Verb::Promote(which) => (which, v1::RolloutAction::Promote),
    };
    let request = v1::ControlRolloutRequest {
        id: which.id,
        action: action.into(),
    };
    let answer = client
        .control_plane()
        .status()
        .control_rollout(signed(request))
        .await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    output.write_one(
        &Rollout::from_message(answer.rollout.unwrap_or_default()),
        COLUMNS,
    )
}

async fn list(client: &GrpcClient, output: Output) -> Result<(), Failure> {
    let request = signed(v1::ListRolloutsRequest {});
    let answer = client.control_plane().status().list_rollouts(request).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    say_frozen(&answer.freeze.unwrap_or_default());
    let rollouts: Vec<_> = answer.rollouts.into_iter().map(Rollout::from_message).collect();
    output.write_all(&rollouts, COLUMNS)
}

async fn show(client: &GrpcClient, id: u64, output: Output) -> Result<(), Failure> {
    let request = signed(v1::GetRolloutRequest { id });
    let answer = client.control_plane().status().get_rollout(request).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    output.write_document(&Rollout::from_message(answer.rollout.unwrap_or_default()))
}

/// Stops all gateways at what they run, for a reason, or lets them go on.
pub(crate) async fn freeze(freeze: Option<Freeze>, connection: &Connection) -> Result<(), Failure> {
    let client = connect(connection).await?;
    let request = v1::SetFreezeRequest {
        frozen: freeze.is_some(),
        reason: freeze.map(|freeze| freeze.message).unwrap_or_default(),
    };
    let answer = client.control_plane().status().set_freeze(signed(request)).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    let freeze = answer.freeze.unwrap_or_default();
    if freeze.frozen {
        say_frozen(&freeze);
    } else {
        say("the gateways go on");
    }
    Ok(())
}

/// Says that the fleet is frozen, if it is.
pub(crate) fn say_frozen(freeze: &v1::Freeze) {
    if freeze.frozen {
        let since = freeze.since.map(time).unwrap_or_default();
        let reason = if freeze.reason.is_empty() {
            "no reason given"
        } else {
            &freeze.reason
        };
        say(&format!("the gateways are frozen since {since}: {reason}"));
    }
}

impl Rollout {
    fn from_message(message: v1::Rollout) -> Self {
        let state = message.state();
        let policy = v1::RolloutPolicy {
            stages: message.stages.clone(),
            ..v1::RolloutPolicy::default()
        };
        let policy = wire::rollout_policy_from_wire(&policy);
        let stages = message.stages.len();
        let stage = usize::try_from(message.stage).unwrap_or(usize::MAX);
        Self {
            id: message.id,
            revision: message
                .version
                .map(|version| version.revision)
                .unwrap_or_default(),
            state: word(state.as_str_name(), "ROLLOUT_STATE_"),
            stage: if stage > stages {
                "all".to_owned()
            } else {
                format!("{stage}/{stages}")
            },
            policy: policy.map(|policy| policy.to_string()).unwrap_or_default(),
            why: message.why,
            acked: message.acked,
            nacked: message.nacked,
            pending: message.pending,
            base_revision: message.base_revision,
            reverted_by: message.reverted_by,
            start: message.start_time.map(time),
            end: message.end_time.map(time),
        }
    }
}
