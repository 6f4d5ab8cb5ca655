//! Which node of the fleet this is, the same after a restart.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::GatewayError;

const FILE: &str = "node-id";

/// The id given, else the one kept in the data directory, else a random one that is kept there from now on.
///
/// # Errors
/// [`GatewayError::NodeId`] when the directory cannot be read or written.
pub(crate) fn read_or_make(given: Option<&str>, data_dir: &Path) -> Result<String, GatewayError> {
    if let Some(id) = given {
        return Ok(id.to_owned());
    }
    let path = data_dir.join(FILE);
    let kept = match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let make = || {
        let id = format!("gateway-{:032x}", fastrand::u128(..));
        fs::create_dir_all(data_dir)?;
        fs::write(&path, format!("{id}\n"))?;
        Ok(id)
    };
    let id = match kept {
        Ok(Some(id)) if !id.is_empty() => Ok(id),
        Ok(_) => make(),
        Err(error) => Err(error),
    };
    id.map_err(|source| GatewayError::NodeId { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_made_once_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let made = read_or_make(None, &data_dir).unwrap();
        assert_eq!(read_or_make(None, &data_dir).unwrap(), made);
        assert_eq!(read_or_make(Some("given"), &data_dir).unwrap(), "given");
        assert_ne!(read_or_make(None, directory.path()).unwrap(), made);
    }
}
