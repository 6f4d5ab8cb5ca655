//! What the kernel says about a process. Source: proc(5).

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use serde::Serialize;

/// What a process holds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Holdings {
    /// Resident memory, in KiB.
    pub(crate) rss_kib: u64,
    /// Open file descriptors.
    pub(crate) fds: u64,
}

/// What `pid` holds.
///
/// # Errors
/// When there is no such process, or it is somebody else's.
pub(crate) fn holdings(pid: u32) -> anyhow::Result<Holdings> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let gone = || format!("process {pid} cannot be looked at");
    let status = std::fs::read_to_string(folder.join("status")).with_context(gone)?;
    let fds = std::fs::read_dir(folder.join("fd")).with_context(gone)?.count();
    Ok(Holdings {
        rss_kib: rss_kib(&status).context("the status of a process tells no VmRSS")?,
        fds: u64::try_from(fds)?,
    })
}

/// The processor time of all threads of `pid` that still run.
///
/// # Errors
/// When there is no such process.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let gone = || format!("process {pid} cannot be looked at");
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).with_context(gone)?;
    let mut nanos = 0;
    for thread in threads {
        // A thread may end while it is looked at.
        let text = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanos += text
            .split_ascii_whitespace()
            .next()
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanos))
}

fn rss_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_opened_is_a_descriptor_more() {
        let before = holdings(std::process::id()).unwrap();
        let files: Vec<_> = (0..50).map(|_| tempfile::tempfile().unwrap()).collect();
        let with = holdings(std::process::id()).unwrap();
        assert!(
            with.fds >= before.fds + 40,
            "{} {} {}",
            before.fds,
            with.fds,
            files.len()
        );
        assert!(before.rss_kib > 100);
    }
}
