//! A program that may fail: killed and started again, or suspended for a while.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::process::{Child, Command};

/// How many of the last lines of a log are told of a program that has ended by itself.
const LAST_LINES: usize = 12;

/// What ails a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ailment {
    Dead,
    Suspended,
}

/// A program, and how it is started. Dropped, it is killed.
pub(crate) struct Program {
    name: String,
    path: PathBuf,
    arguments: Vec<String>,
    /// What it writes goes to a file there, named after it.
    dir: PathBuf,
    child: Child,
    /// What ails it, and until when since the start of the storm.
    ails: Option<(Ailment, Duration)>,
}

impl Program {
    pub(crate) fn start(
        name: String,
        path: &Path,
        arguments: impl IntoIterator<Item = (&'static str, String)>,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let arguments = arguments.into_iter();
        let arguments: Vec<_> = arguments
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect();
        Ok(Self {
            child: spawn(&name, path, &arguments, dir)?,
            name,
            path: path.to_owned(),
            arguments,
            dir: dir.to_owned(),
            ails: None,
        })
    }

    pub(crate) const fn is_well(&self) -> bool {
        self.ails.is_none()
    }

    pub(crate) async fn kill(&mut self, until: Duration) -> anyhow::Result<()> {
        self.is_there()?;
        self.child.kill().await?;
        self.ails = Some((Ailment::Dead, until));
        Ok(())
    }

    pub(crate) async fn suspend(&mut self, until: Duration) -> anyhow::Result<()> {
        self.is_there()?;
        self.signal("-STOP").await?;
        self.ails = Some((Ailment::Suspended, until));
        Ok(())
    }

    /// Ends what ails it once that has lasted long enough.
    ///
    /// # Errors
    /// When it has ended by itself.
    pub(crate) async fn mend(&mut self, now: Duration) -> anyhow::Result<()> {
        if self.ails.is_some_and(|(_, until)| until > now) {
            return Ok(());
        }
        match self.ails.take() {
            Some((Ailment::Dead, _)) => {
                self.child = spawn(&self.name, &self.path, &self.arguments, &self.dir)?;
                Ok(())
            }
            Some((Ailment::Suspended, _)) => self.signal("-CONT").await,
            None => self.is_there(),
        }
    }

    /// It has not ended by itself.
    fn is_there(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let log = std::fs::read_to_string(log(&self.dir, &self.name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..);
        bail!(
            "{} ended by itself with {status}; it wrote last:\n{}",
            self.name,
            last.unwrap_or_default().join("\n")
        )
    }

    async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let pid = self.child.id().context("it has ended by itself")?.to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await?;
        ensure!(sent.success(), "kill {signal} {pid}: {sent}");
        Ok(())
    }
}

fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}

fn spawn(name: &str, path: &Path, arguments: &[String], dir: &Path) -> anyhow::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log(dir, name))
        .with_context(|| format!("no log of {name}"))?;
    Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", path.display()))
}
