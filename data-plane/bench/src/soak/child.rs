//! The gateway under soak: a process of its own, so that what it holds can be told from the rest.

use std::process::Stdio;

use anyhow::Context;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::configuration::Edit;

/// A running gateway that takes edits.
pub(crate) struct GatewayProcess {
    pub(crate) pid: u32,
    pub(crate) port: u16,
    child: Child,
    edits: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
}

#[derive(Deserialize)]
struct Listening {
    port: u16,
}

impl GatewayProcess {
    /// Starts this program's gateway in front of `urls`.
    pub(crate) async fn start(urls: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["gateway", "--edits", "--log", "error", "--workers", "2"]);
        command.args(["--attempt-timeout-ms", "1000", "--health-interval-ms", "250"]);
        command.args(["--breaker-timeout-ms", "500"]);
        for url in urls {
            command.args(["--upstream", url]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut replies = BufReader::new(stdout).lines();
        let line = replies
            .next_line()
            .await?
            .context("the gateway ended at its start")?;
        let Listening { port } = serde_json::from_str(&line)?;
        Ok(Self {
            pid: child.id().context("the gateway ended at its start")?,
            port,
            edits: child.stdin.take().context("no stdin")?,
            child,
            replies,
        })
    }

    /// Makes an edit; returns once the gateway serves from it.
    pub(crate) async fn edit(&mut self, edit: Edit) -> anyhow::Result<()> {
        let line = serde_json::to_string(&edit)? + "\n";
        self.edits.write_all(line.as_bytes()).await?;
        self.edits.flush().await?;
        self.replies.next_line().await?.context("the gateway ended")?;
        Ok(())
    }

    /// Ends it, and waits until it has.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.edits);
        let status = self.child.wait().await?;
        anyhow::ensure!(status.success(), "the gateway ended with {status}");
        Ok(())
    }
}
