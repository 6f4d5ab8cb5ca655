//! Runs the program, and a whole system in a child process.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything takes, so that a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) data: String,
    pub(crate) talk: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn tyrctl(words: &[&str]) -> Ended {
    tyrctl_fed(words, "")
}

/// Runs a command that reads `input`.
pub(crate) fn tyrctl_fed(words: &[&str], input: &str) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tyrctl"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that fails early does not read.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = within("the command to end", move || child.wait_with_output().unwrap());
    Ended {
        code: output.status.code().unwrap_or(-1),
        data: String::from_utf8(output.stdout).unwrap(),
        talk: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What `act` returns, in a thread that may not take forever.
fn within<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(act()));
    receiver
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Asks until the answer is right. Each question goes over a socket or starts a process, which paces them.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
    }
}

/// The words that start a system on free ports.
pub(crate) fn up_words(data_dir: &Path) -> Vec<String> {
    let mut words: Vec<String> = ["-o", "json", "up", "--data-dir"].map(String::from).into();
    words.push(data_dir.to_str().unwrap().to_owned());
    for flag in [
        "grpc",
        "rest",
        "control-plane-admin",
        "gateway",
        "gateway-admin",
        "exporter-admin",
        "recommender-admin",
    ] {
        words.push(format!("--{flag}-listen=127.0.0.1:0"));
    }
    words
}

/// `tyrctl up` in a child process; killed when dropped.
pub(crate) struct System {
    child: Option<Child>,
    /// What it said when everything ran.
    pub(crate) said: Value,
}

impl System {
    pub(crate) fn start(data_dir: &TempDir, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tyrctl"))
            .args(up_words(data_dir.path()))
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let said = within("the system to start", move || {
            let mut stream = serde_json::Deserializer::from_reader(stdout);
            Value::deserialize(&mut stream).unwrap()
        });
        Self {
            child: Some(child),
            said,
        }
    }

    pub(crate) fn address(&self, name: &str) -> &str {
        self.said["addresses"][name].as_str().unwrap()
    }

    /// Runs a command against this system's gRPC services.
    pub(crate) fn grpc(&self, words: &[&str]) -> Ended {
        tyrctl(&[&["--server", self.address("grpc")], words].concat())
    }

    /// Runs a command that reads `input`.
    pub(crate) fn grpc_fed(&self, words: &[&str], input: &str) -> Ended {
        tyrctl_fed(&[&["--server", self.address("grpc")], words].concat(), input)
    }

    /// Runs a command against this system's REST interface.
    pub(crate) fn rest(&self, words: &[&str]) -> Ended {
        let rest = ["--transport", "rest", "--rest-server", self.address("rest")];
        tyrctl(&[&rest, words].concat())
    }

    /// The data of a command that must do what it is told.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let ended = self.grpc(&[&["-o", "json"], words].concat());
        assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
        ended.json()
    }

    /// Sends SIGTERM and returns the exit code.
    pub(crate) fn stop(mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let told = Command::new("sh")
            .args(["-c", &format!("kill -s TERM {}", child.id())])
            .status();
        assert!(told.unwrap().success());
        let status = within("the system to stop", move || child.wait().unwrap());
        status.code().unwrap_or(-1)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// An answer of a gateway.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The simulated node it comes from.
    pub(crate) node: Option<String>,
}

/// Sends one JSON-RPC request to the route of `host` and `path`.
pub(crate) fn ask(gateway: SocketAddr, host: &str, path: &str) -> Answer {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}).to_string();
    let mut stream = TcpStream::connect(gateway).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let node = text.lines().find_map(|line| line.strip_prefix("x-simnode: "));
    Answer {
        status,
        node: node.map(str::to_owned),
    }
}
