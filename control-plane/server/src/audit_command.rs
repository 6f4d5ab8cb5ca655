//! The lines of the audit log, proved where they lie.

use std::path::{Path, PathBuf};

use tyrscale_access::{Pepper, Verdict, verify_lines};

use crate::error::ControlPlaneError;

/// Walks along the audit records of files, with the pepper of the control plane that wrote them. The first record is taken
/// as it is, unless it is the first of all.
///
/// # Errors
/// [`ControlPlaneError`] when a file cannot be read.
pub async fn verify_audit_files(
    files: Vec<PathBuf>,
    pepper_file: &Path,
) -> Result<Verdict, ControlPlaneError> {
    let pepper_file = pepper_file.to_owned();
    let verifying = tokio::task::spawn_blocking(move || {
        let pepper =
            Pepper::read_or_make(Some(&pepper_file), Path::new(".")).map_err(ControlPlaneError::Access)?;
        Ok(verify_lines(&files, &pepper)?)
    });
    let failed = |error| ControlPlaneError::Access(std::io::Error::other(error));
    verifying.await.map_err(failed)?
}
