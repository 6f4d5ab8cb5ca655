//! Services in processes of their own, started anew when they die, as a supervisor would.
//!
//! A process is this test program, told by its environment to be a service. What makes a gateway die lies here and not in
//! the gateway: who reads its log ends the process when it tells of a content that is deadly.

use std::{
    env,
    fmt::Debug,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tyrscale_control_plane::ControlPlaneConfig;

use crate::{
    fleet::defaults,
    harness::{Ended, eventually, tyrctl, tyrctl_fed},
};

/// So many routes are more than a gateway lives with.
pub(crate) const DEADLY: u64 = 13;
/// Set for the processes: their directory, and for a gateway where its control plane is.
const DIRECTORY: &str = "TYRSCALE_TEST_PROCESS_DIRECTORY";
const CONTROL_PLANE: &str = "TYRSCALE_TEST_PROCESS_CONTROL_PLANE";
/// What a control plane says before its address.
const LISTENS: &str = "listens at ";
/// The revisions that a gateway began to serve, one a line.
const SERVED: &str = "served";

fn process(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stderr(Stdio::null());
    command
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// The process of a control plane; nothing when it is not started as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process that other tests start"]
async fn control_plane() {
    let (Ok(directory), Err(_)) = (env::var(DIRECTORY), env::var(CONTROL_PLANE)) else {
        return;
    };
    let config = ControlPlaneConfig {
        data_dir: PathBuf::from(directory),
        ..defaults()
    };
    let listeners = tyrscale_control_plane::Listeners {
        grpc: bind().await,
        rest: bind().await,
        admin: None,
    };
    println!("{LISTENS}{}", listeners.grpc.local_addr().unwrap());
    tyrscale_control_plane::run(config, listeners, CancellationToken::new())
        .await
        .unwrap();
}

/// The process of a gateway; nothing when it is not started as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process that other tests start"]
async fn gateway() {
    let (Ok(directory), Ok(control_plane)) = (env::var(DIRECTORY), env::var(CONTROL_PLANE)) else {
        return;
    };
    let directory = PathBuf::from(directory);
    std::fs::create_dir_all(&directory).unwrap();
    let served = OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join(SERVED));
    let reader = Reader {
        served: Mutex::new(served.unwrap()),
    };
    tracing::subscriber::set_global_default(reader).unwrap();
    let args = tyrscale_gateway::Args {
        control_planes: vec![control_plane.parse().unwrap()],
        node_id: directory
            .file_name()
            .map(|name| name.to_string_lossy().into_owned()),
        data_dir: directory,
        ..defaults()
    };
    let listeners = tyrscale_gateway::Listeners {
        data: bind().await,
        tls: None,
        admin: bind().await,
    };
    let config = tyrscale_gateway::Config::try_from(args).unwrap();
    tyrscale_gateway::run(config, listeners, CancellationToken::new())
        .await
        .unwrap();
}

/// Reads the log of a gateway.
struct Reader {
    served: Mutex<File>,
}

/// What a line of it tells.
#[derive(Default)]
struct Line {
    is_of_content: bool,
    revision: String,
    routes: u64,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.is_of_content = format!("{value:?}") == "configuration applied",
            "revision" => self.revision = format!("{value:?}"),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "routes" {
            self.routes = value;
        }
    }
}

impl Subscriber for Reader {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("tyrscale_gateway")
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        if !line.is_of_content {
            return;
        }
        writeln!(self.served.lock().unwrap(), "{}", line.revision).unwrap();
        if line.routes >= DEADLY {
            std::process::abort();
        }
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

/// A control plane in its process; it is killed when dropped.
pub(crate) struct ControlPlane {
    child: Child,
    grpc: SocketAddr,
}

impl ControlPlane {
    pub(crate) fn start(directory: &Path) -> Self {
        let mut child = process("processes::control_plane", directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.split_once(LISTENS)?.1.to_owned()));
        thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            grpc: address.unwrap().parse().unwrap(),
        }
    }

    fn uri(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// What a command tells that must do what it is told.
    pub(crate) fn told(&self, words: &[&str]) -> serde_json::Value {
        let ended = tyrctl(&[&["-o", "json", "--server", &self.uri()], words].concat());
        assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
        ended.json()
    }

    pub(crate) fn roll_out(&self, policy: &str, resources: &serde_json::Value) -> Ended {
        let uri = self.uri();
        let words = ["--server", &uri, "apply", "-f", "-", "--rollout", policy];
        let ended = tyrctl_fed(&words, &resources.to_string());
        assert_eq!(ended.code, 0, "{ended:?}");
        ended
    }

    /// Waits until as many gateways run a revision.
    pub(crate) fn settle(&self, gateways: usize, revision: u64) {
        let mut last = serde_json::Value::Null;
        eventually(&format!("{gateways} gateways at {revision}"), || {
            last = self.told(&["status"]);
            let nodes = last["nodes"].as_array().unwrap().iter();
            let there = nodes.filter(|node| node["state"] == "synced" && node["revision"] == revision);
            (there.count() == gateways).then_some(())
        });
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A gateway that is started again whenever it dies; it is killed when dropped.
pub(crate) struct Supervised {
    pub(crate) name: String,
    directory: PathBuf,
    child: Arc<Mutex<Child>>,
    is_over: Arc<AtomicBool>,
    starts: Arc<AtomicUsize>,
    watching: Option<JoinHandle<()>>,
}

impl Supervised {
    pub(crate) fn start(directory: &Path, name: &str, control_plane: &ControlPlane) -> Self {
        let directory = directory.join(name);
        let (place, uri) = (directory.clone(), control_plane.uri());
        let spawn = move || {
            process("processes::gateway", &place)
                .env(CONTROL_PLANE, &uri)
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let child = Arc::new(Mutex::new(spawn()));
        let (is_over, starts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(1)));
        let (watched, over, counted) = (Arc::clone(&child), Arc::clone(&is_over), Arc::clone(&starts));
        let watching = thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                let ended = watched.lock().unwrap().try_wait().unwrap();
                if ended.is_some() {
                    counted.fetch_add(1, Ordering::AcqRel);
                    *watched.lock().unwrap() = spawn();
                }
                thread::park_timeout(Duration::from_millis(20));
            }
        });
        Self {
            name: name.to_owned(),
            directory,
            child,
            is_over,
            starts,
            watching: Some(watching),
        }
    }

    /// How often it was started.
    pub(crate) fn starts(&self) -> usize {
        self.starts.load(Ordering::Acquire)
    }

    /// Whether it ever began to serve a revision.
    pub(crate) fn has_served(&self, revision: u64) -> bool {
        let served = std::fs::read_to_string(self.directory.join(SERVED)).unwrap_or_default();
        served.lines().any(|line| line == revision.to_string())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(watching) = self.watching.take() {
            watching.thread().unpark();
            watching.join().ok();
        }
        let mut child = self.child.lock().unwrap();
        child.kill().ok();
        child.wait().ok();
    }
}
