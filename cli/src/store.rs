//! `tyrctl store`: the store of a control plane as it lies on the disk.

use std::error::Error as _;

use tyrscale_control_plane::{
    ControlPlaneError,
    store_command::{StoreVerb, exit_code},
};

use crate::{Failure, Output};

pub(crate) async fn run(verb: StoreVerb, output: Output) -> Result<(), Failure> {
    let report = verb.run().await.map_err(failure)?;
    output.write_document(&report)
}

fn failure(error: ControlPlaneError) -> Failure {
    let code = exit_code(&error);
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    match code {
        1 => Failure::Refused(text),
        _ => Failure::Damaged(text),
    }
}
