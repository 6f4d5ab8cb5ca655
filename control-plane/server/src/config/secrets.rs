//! The options about secrets.

use std::path::{Path, PathBuf};

use clap::Args;

use super::ConfigError;
use crate::secrets::Source;

/// Holds master keys instead of a file.
const VARIABLE: &str = "TYRSCALE_SECRETS_KEY";

/// Where the master key of secrets is.
#[derive(Debug, Clone, Default, Args)]
pub struct SecretsArgs {
    /// File of the master key that values of secrets are sealed with, 64 hexadecimal digits; more keys on further lines
    /// open what they sealed before. The variable TYRSCALE_SECRETS_KEY may hold the same. By default a key is made at the
    /// first start and kept as secrets.key in the data directory.
    #[arg(long, env = "TYRSCALE_SECRETS_KEY_FILE", value_name = "FILE")]
    pub secrets_key_file: Option<PathBuf>,
}

impl SecretsArgs {
    /// Where the keys are.
    ///
    /// # Errors
    /// [`ConfigError`] when the variable holds none.
    pub(crate) fn source(&self, data_dir: &Path) -> Result<Source, ConfigError> {
        let given = match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => {
                let keys = text
                    .parse()
                    .map_err(|error: crate::secrets::MasterKeysError| ConfigError {
                        flag: VARIABLE,
                        rule: error.to_string(),
                    });
                Some(keys?)
            }
            _ => None,
        };
        Ok(Source {
            given,
            file: self.secrets_key_file.clone(),
            data_dir: data_dir.to_owned(),
        })
    }
}
