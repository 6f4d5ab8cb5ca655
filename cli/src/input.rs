//! Resources from files: YAML, and so JSON, which is YAML too.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Failure;

/// The largest file read, in bytes.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Reads one document from a file, or from standard input when it is `-`.
pub(crate) fn read_one<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    serde_saphyr::from_str(&read_text(path)?).map_err(|error| invalid(path, &error))
}

/// Reads every document of a file; one that is a list counts as its members.
pub(crate) fn read_many(path: &Path) -> Result<Vec<Value>, Failure> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&read_text(path)?).map_err(|error| invalid(path, &error))?;
    let members = documents.into_iter().flat_map(|document| match document {
        Value::Array(members) => members,
        document => vec![document],
    });
    Ok(members.collect())
}

/// Reads a label on the command line: `NAME=VALUE`.
pub(crate) fn parse_label(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads a line from a file, or from standard input when it is `-`; what ends it is left out.
pub(crate) fn read_line(path: &Path) -> Result<String, Failure> {
    let text = read_text(path)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn invalid(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Usage(format!("{}: {error}", path.display()))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let failed = |source| Failure::File {
        path: PathBuf::from(path),
        source,
    };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(MAX_FILE + 1)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
    };
    let bytes = read.map_err(failed)?;
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > MAX_FILE) {
        return Err(Failure::Usage(format!(
            "{} has more than {MAX_FILE} bytes",
            path.display()
        )));
    }
    Ok(text)
}
