//! What is said of a store.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tyrscale_model::UnixMillis;
use tyrscale_store::Verified;

use crate::backups::utc;

/// A store, or a file, that proved itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreReport {
    /// Where it is.
    pub place: PathBuf,
    /// Whose order the revisions are in.
    pub lineage: String,
    /// The newest revision.
    pub revision: u64,
    /// The oldest whose content can be had.
    pub floor: u64,
    /// What proves the content.
    pub digest: String,
    /// How many resources there are.
    pub resources: usize,
    /// How many documents there are beside; none is counted in a quick look.
    pub documents: usize,
    /// Where what was there before is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<PathBuf>,
    /// Secrets whose values came without their keys: they must be set again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unset_secrets: Vec<String>,
    /// When the content that was restored was written to its file. What came later is not in it, which makes tokens and
    /// nodes that were revoked since valid again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<String>,
    /// What to do about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl StoreReport {
    pub(super) fn of(place: &Path, verified: &Verified) -> Self {
        Self {
            place: place.to_owned(),
            lineage: verified.lineage.to_string(),
            revision: verified.revision.0,
            floor: verified.floor.0,
            digest: verified.digest.to_string(),
            resources: verified.resources,
            documents: verified.documents,
            set_aside: None,
            unset_secrets: Vec::new(),
            taken: None,
            warning: None,
        }
    }

    /// Of content that was written to a file then, and is the store's again.
    pub(super) fn of_a_time(self, taken: UnixMillis) -> Self {
        let taken = utc(taken);
        Self {
            warning: Some(format!(
                "tokens and nodes that were revoked since {taken} are valid again: revoke them anew"
            )),
            taken: Some(taken),
            ..self
        }
    }
}

impl fmt::Display for StoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "place: {}", self.place.display())?;
        writeln!(f, "lineage: {}", self.lineage)?;
        writeln!(f, "revision: {}", self.revision)?;
        writeln!(f, "floor: {}", self.floor)?;
        writeln!(f, "digest: {}", self.digest)?;
        writeln!(f, "resources: {}", self.resources)?;
        write!(f, "documents: {}", self.documents)?;
        if let Some(aside) = &self.set_aside {
            write!(f, "\nset_aside: {}", aside.display())?;
        }
        if !self.unset_secrets.is_empty() {
            write!(f, "\nunset_secrets: {}", self.unset_secrets.join(", "))?;
        }
        if let Some(taken) = &self.taken {
            write!(f, "\ntaken: {taken}")?;
        }
        if let Some(warning) = &self.warning {
            write!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}
