//! `tyrctl`: the command line of TyrScale.
//!
//! Standard output carries data only; everything said to people goes to standard error. Exit codes: 0 done,
//! 1 refused or failed, 2 wrong usage, 3 the control plane cannot be reached, 4 a store or file is damaged.

mod access;
mod apply;
mod args;
mod certs;
mod failure;
mod http_client;
mod input;
mod output;
mod resource;
mod revision;
mod rollout;
mod run_record;
mod secret;
mod status;
mod store;
mod telemetry;
mod top;
mod trace;
mod transport;
mod up;
mod verb;
mod weights;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::{
    args::{Cli, Command, Connection},
    failure::Failure,
    output::Output,
};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match Box::pin(run(cli)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::say(&format!("error: {failure}"));
            failure.exit_code()
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let Cli {
        connection,
        output,
        command,
    } = cli;
    match command {
        Command::Network { verb } => verb.run(&connection, output).await,
        Command::Secret { verb } => secret::run(verb, &connection, output).await,
        Command::Rpc { verb } => verb.run(&connection, output).await,
        Command::Route { verb } => verb.run(&connection, output).await,
        Command::Upstream { verb } => verb.run(&connection, output).await,
        Command::Recommendation { verb } => verb.run(&connection, output).await,
        Command::Weights { verb } => verb.run(&connection, output).await,
        Command::Apply(args) => apply::run(args, &connection, output).await,
        Command::History(args) => revision::history(args, &connection, output).await,
        Command::Diff(args) => revision::diff(args, &connection, output).await,
        Command::Rollback(args) => revision::roll_back(args, &connection, output).await,
        Command::Tag { verb } => revision::tag(verb, &connection, output).await,
        Command::Export(args) => revision::export(args, &connection, output).await,
        Command::Watch(args) => revision::watch(args, &connection, output).await,
        Command::Status(args) => status::run(args, &connection, output).await,
        Command::Rollout { verb } => rollout::run(verb, &connection, output).await,
        Command::Freeze(args) => rollout::freeze(Some(args), &connection).await,
        Command::Unfreeze => rollout::freeze(None, &connection).await,
        Command::Telemetry(args) => telemetry::run(args, &connection, output).await,
        Command::Top(args) => top::run(args, &connection, output).await,
        Command::Trace(args) => trace::run(args, output).await,
        Command::Token { verb } => verb.run(&connection, output).await,
        Command::Node { verb } => verb.run(&connection, output).await,
        Command::Audit { verb } => verb.run(&connection, output).await,
        Command::Events(args) => access::events(args, &connection, output).await,
        Command::Whoami => access::whoami(&connection, output).await,
        Command::Certs(args) => certs::run(args, output),
        Command::Store { verb } => Box::pin(store::run(verb, output)).await,
        Command::Up(args) => Box::pin(up::run(*args, output)).await,
    }
}
