//! How a process is asked to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::TelemetryError;

/// The exit code of a process that was told twice: 128 and the number of SIGINT, as shells count.
const EXIT_CODE: i32 = 130;

/// A token that the first SIGTERM or SIGINT cancels: services then finish what they hold. A second one of
/// either ends the process at once with exit code 130.
///
/// Call it once, inside the runtime; its task waits for signals as long as the runtime runs.
///
/// # Errors
/// [`TelemetryError::Signal`] when the system refuses the handlers.
pub fn shutdown_signal() -> Result<CancellationToken, TelemetryError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(TelemetryError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(TelemetryError::Signal)?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let signal = next_signal(&mut terminate, &mut interrupt).await;
        tracing::info!(signal, "stopping; a second signal ends the process at once");
        cancelled.cancel();
        let signal = next_signal(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal, "ended by a second signal");
        end_process();
    });
    Ok(token)
}

async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[expect(
    clippy::exit,
    reason = "an operator who asks twice does not want to wait for what hangs"
)]
fn end_process() {
    std::process::exit(EXIT_CODE);
}

#[cfg(test)]
mod tests {
    use super::{EXIT_CODE, shutdown_signal};
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(20);

    /// The process under test: says what it sees, and never finishes by itself within the limit.
    #[tokio::test]
    #[ignore = "a process that the tests below start and signal"]
    async fn stubborn_process() {
        let token = shutdown_signal().unwrap();
        println!("\nrunning");
        let stops = async {
            token.cancelled().await;
            println!("stopping");
            std::future::pending::<()>().await;
        };
        assert!(tokio::time::timeout(LIMIT, stops).await.is_ok());
    }

    fn start() -> (Child, impl FnMut(&str)) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "shutdown::tests::stubborn_process",
                "--ignored",
                "--nocapture",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut wait_for = move |word: &str| assert!(lines.any(|line| line == word), "never said {word}");
        wait_for("running");
        (child, wait_for)
    }

    fn send(signal: &str, child: &Child) {
        let command = format!("kill -s {signal} {}", child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &command])
                .status()
                .unwrap()
                .success()
        );
    }

    #[test]
    fn the_first_signal_cancels_and_the_second_exits_at_once() {
        for (first, second) in [("TERM", "TERM"), ("INT", "TERM")] {
            let (mut child, mut wait_for) = start();
            send(first, &child);
            wait_for("stopping");
            assert!(
                child.try_wait().unwrap().is_none(),
                "the first signal leaves it running"
            );
            send(second, &child);
            assert_eq!(child.wait().unwrap().code(), Some(EXIT_CODE));
        }
    }
}
