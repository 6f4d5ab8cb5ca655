//! `soak`: a bounded load for a long time while nodes fail and recover and the configuration changes each second.
//!
//! Every answer is checked for its id and its result. A failed request counts when one upstream was healthy and
//! configured for the whole of it, and had been for the settling time before it came; what looks like an answer
//! and is another's always counts.

pub(crate) mod calls;
mod child;
mod plan;
mod tally;
mod truth;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tyrscale_simnode::{Behavior, Fault, Garbage, SimNode, SimNodeConfig};

use crate::configuration::Edit;
use crate::connection::{Connection, Peer};
use crate::process::{Holdings, holdings};
use calls::Call;
use child::GatewayProcess;
use plan::{Action, Mood, Plan};
use tally::{Chance, Curve, Ending, Failure, Samples, Tally};
use truth::Truth;

const NODES: usize = 3;
const TICK: Duration = Duration::from_millis(100);
/// Most requests under way; beyond, the load waits.
const MAX_IN_FLIGHT: usize = 2_000;
/// Unused connections that the client keeps.
const MAX_IDLE: usize = 64;
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// All is well for so long before the first and the last look at what the gateway holds.
const REST: Duration = Duration::from_secs(5);
/// Then the client is gone until the gateway has closed its unused connections to the nodes, too.
const QUIET: Duration = Duration::from_secs(12);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long nodes fail and recover, in seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Requests each second.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// What the course of events follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long an upstream must have been healthy before a request that it must answer, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    settle_ms: u64,
    /// Most resident memory that the gateway may have gained by the end, in KiB.
    #[arg(long, default_value_t = 16 * 1024)]
    max_rss_growth_kib: u64,
    /// Most file descriptors that it may have gained by the end.
    #[arg(long, default_value_t = 32)]
    max_fd_growth: u64,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    seed: u64,
    seconds: u64,
    edits: u64,
    tally: &'a Tally,
    gateway: &'a Curve,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(soak(args))
}

async fn soak(args: &Args) -> anyhow::Result<()> {
    let nodes = start_nodes().await?;
    let urls: Vec<String> = nodes.iter().map(SimNode::url).collect();
    let gateway = GatewayProcess::start(&urls).await?;
    let client = Arc::new(Client::new(gateway.port, Duration::from_millis(args.settle_ms)));
    let mut stage = Stage {
        nodes,
        gateway,
        client,
        rate: args.rate,
        samples: Samples::default(),
        edits: 0,
    };
    let first = stage.calm().await?;
    let mut plan = Plan::new(args.seed, NODES);
    stage.storm(&mut plan, Duration::from_secs(args.seconds)).await?;
    for action in plan.recover() {
        stage.act(action).await?;
    }
    let last = stage.calm().await?;
    let curve = stage.samples.curve(first, last);
    {
        let tally = stage.client.tally();
        crate::tell(&Report {
            seed: args.seed,
            seconds: args.seconds,
            edits: stage.edits,
            tally: &tally,
            gateway: &curve,
        })?;
        ensure!(
            tally.is_perfect(),
            "requests failed while a healthy upstream was there"
        );
    }
    stage.gateway.stop().await?;
    ensure!(
        curve.rss_growth_kib() <= args.max_rss_growth_kib,
        "memory grew by {} KiB",
        curve.rss_growth_kib()
    );
    ensure!(
        curve.fd_growth() <= args.max_fd_growth,
        "{} file descriptors more",
        curve.fd_growth()
    );
    Ok(())
}

async fn start_nodes() -> anyhow::Result<Vec<SimNode>> {
    let mut nodes = Vec::new();
    for number in 0..NODES {
        let node = SimNode::start(SimNodeConfig::named(format!("node-{number}"))).await?;
        node.respond_with(calls::answer);
        nodes.push(node);
    }
    Ok(nodes)
}

/// Everything that takes part.
struct Stage {
    nodes: Vec<SimNode>,
    gateway: GatewayProcess,
    client: Arc<Client>,
    rate: u32,
    samples: Samples,
    edits: u64,
}

impl Stage {
    /// Load without events, then none; returns what the gateway holds at the end of it.
    async fn calm(&mut self) -> anyhow::Result<Holdings> {
        self.load(REST, |_| Vec::new()).await?;
        self.client.disconnect();
        tokio::time::sleep(QUIET).await;
        holdings(self.gateway.pid)
    }

    async fn storm(&mut self, plan: &mut Plan, time: Duration) -> anyhow::Result<()> {
        self.load(time, |elapsed| plan.tick(elapsed)).await
    }

    /// Sends requests for `time` while `events` name what happens; waits for the last answers.
    async fn load(
        &mut self,
        time: Duration,
        mut events: impl FnMut(Duration) -> Vec<Action>,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut due = tokio::time::interval(Duration::from_secs(1) / self.rate);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut ticks = tokio::time::interval(TICK);
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        let mut asking = JoinSet::new();
        while start.elapsed() < time {
            tokio::select! {
                biased;
                _ = ticks.tick() => for action in events(start.elapsed()) {
                    self.act(action).await?;
                },
                _ = seconds.tick() => self.samples.0.push(holdings(self.gateway.pid)?),
                Some(ended) = asking.join_next() => ended?,
                _ = due.tick(), if asking.len() < MAX_IN_FLIGHT => {
                    asking.spawn(Arc::clone(&self.client).ask());
                }
            }
        }
        while let Some(ended) = asking.join_next().await {
            ended?;
        }
        Ok(())
    }

    /// Does one thing. What could answer is less before it gets worse, and more after it got better.
    async fn act(&mut self, action: Action) -> anyhow::Result<()> {
        match action {
            Action::Mood(index, mood) => {
                let healthy = mood == Mood::Healthy;
                if !healthy {
                    self.client.truth().set_healthy(index, false, Instant::now());
                }
                if let Some(node) = self.nodes.get(index) {
                    node.set_behavior(behavior(mood));
                }
                if healthy {
                    self.client.truth().set_healthy(index, true, Instant::now());
                }
            }
            Action::Edit(edit) => {
                self.edits += 1;
                if let Edit::Remove { upstream } = edit {
                    let index = usize::try_from(upstream)?;
                    self.client.truth().set_configured(index, false, Instant::now());
                }
                self.gateway.edit(edit).await?;
                if let Edit::Put { upstream, .. } = edit {
                    let index = usize::try_from(upstream)?;
                    self.client.truth().set_configured(index, true, Instant::now());
                }
            }
        }
        Ok(())
    }
}

/// How a node is told to behave.
fn behavior(mood: Mood) -> Behavior {
    let fault = match mood {
        Mood::Healthy | Mood::Slow | Mood::Throttling => None,
        Mood::Failing => Some(Fault::status(http::StatusCode::SERVICE_UNAVAILABLE)),
        Mood::Cutting => Some(Fault::CloseMidBody { after_bytes: 12 }),
        Mood::Closing => Some(Fault::CloseBeforeAnswer),
        Mood::Hanging => Some(Fault::Silence),
        Mood::Garbling => Some(Fault::Garbage(Garbage::TruncatedJson)),
    };
    Behavior {
        fault,
        latency: if mood == Mood::Slow {
            Duration::from_millis(700)
        } else {
            Duration::ZERO
        },
        rate_limit: if mood == Mood::Throttling {
            std::num::NonZeroU32::new(20)
        } else {
            None
        },
        ..Behavior::default()
    }
}

/// Asks the gateway and keeps the account.
struct Client {
    peer: Peer,
    settle: Duration,
    started: Instant,
    next: std::sync::atomic::AtomicU64,
    idle: Mutex<Vec<Connection>>,
    truth: Mutex<Truth>,
    tally: Mutex<Tally>,
}

impl Client {
    fn new(port: u16, settle: Duration) -> Self {
        Self {
            peer: Peer {
                addr: (std::net::Ipv4Addr::LOCALHOST, port).into(),
                tls: None,
            },
            settle,
            started: Instant::now(),
            next: 1.into(),
            idle: Mutex::default(),
            truth: Mutex::new(Truth::new(NODES, Instant::now())),
            tally: Mutex::default(),
        }
    }

    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disconnect(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn ask(self: Arc<Self>) {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let call = Call::new(number);
        let from = Instant::now();
        let ending = match tokio::time::timeout(PATIENCE, self.exchange(&call)).await {
            Ok(ending) => ending,
            Err(_) => Ending::Failed("no answer in time".to_owned()),
        };
        let (chance, nodes) = {
            let truth = self.truth();
            let chance = Chance {
                any: truth.could_answer(from, Duration::ZERO),
                settled: truth.could_answer(from, self.settle),
            };
            (chance, format!("{truth:?}"))
        };
        let (at, took) = (from - self.started, from.elapsed());
        self.tally()
            .record(ending, chance, |cause| Failure::new(at, took, cause, nodes));
    }

    async fn exchange(&self, call: &Call) -> Ending {
        let unused = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match unused {
            Some(connection) => connection,
            None => match Connection::open(&self.peer).await {
                Ok(connection) => connection,
                Err(error) => return Ending::Failed(error.to_string()),
            },
        };
        let (checked, close) = match connection.exchange(&call.request).await {
            Ok(answer) => (call.check(&answer), answer.close),
            Err(error) => return Ending::Failed(error.to_string()),
        };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !close && idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        match checked {
            Ok(()) => Ending::Answered,
            Err(wrong) if wrong.is_false() => Ending::False(wrong.to_string()),
            Err(wrong) => Ending::Failed(wrong.to_string()),
        }
    }
}
