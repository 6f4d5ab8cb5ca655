//! How results are written: data to standard output, talk to standard error.

use std::io::Write as _;

use clap::ValueEnum;
use comfy_table::{Table, TableStyle};
use serde::Serialize;
use serde_json::Value;

use crate::Failure;

/// The forms of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// Columns, for people.
    #[default]
    Table,
    /// For programs: fields named and nested as in the API.
    Json,
    /// The same, to edit and send back with -f.
    Yaml,
}

/// The columns of a table: paths of fields, such as `circuit_breaker.enabled`.
pub(crate) type Columns = &'static [&'static str];

impl Output {
    /// Writes a list.
    pub(crate) fn write_all<T: Serialize>(self, items: &[T], columns: Columns) -> Result<(), Failure> {
        match self {
            Self::Table => {
                let rows = items.iter().map(to_value).collect::<Result<Vec<_>, _>>()?;
                write_data(&table(&rows, columns))
            }
            Self::Json | Self::Yaml => self.write_document(&items),
        }
    }

    /// Writes what changed, or would, or differs. Nothing is no table: what was said before says it.
    pub(crate) fn write_changes<T: Serialize>(self, items: &[T], columns: Columns) -> Result<(), Failure> {
        match (self, items) {
            (Self::Table, []) => Ok(()),
            _ => self.write_all(items, columns),
        }
    }

    /// Writes one thing.
    pub(crate) fn write_one<T: Serialize>(self, item: &T, columns: Columns) -> Result<(), Failure> {
        match self {
            Self::Table => self.write_all(std::slice::from_ref(item), columns),
            Self::Json | Self::Yaml => self.write_document(item),
        }
    }

    /// Writes a document; as a table it is YAML, which people can read.
    pub(crate) fn write_document<T: Serialize>(self, document: &T) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Refused(format!("cannot write: {error}"));
        let text = match self {
            Self::Json => serde_json::to_string_pretty(document).map_err(|error| failed(&error))?,
            Self::Table | Self::Yaml => serde_saphyr::to_string(document).map_err(|error| failed(&error))?,
        };
        write_data(&text)
    }
}

/// Writes a text to standard output as a line of its own. That nobody reads it any more is no error.
pub(crate) fn write_data(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Refused(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Says something to the person at the terminal. When standard error is gone nobody is left to tell.
pub(crate) fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

fn to_value<T: Serialize>(item: &T) -> Result<Value, Failure> {
    serde_json::to_value(item).map_err(|error| Failure::Refused(format!("cannot write: {error}")))
}

fn table(rows: &[Value], columns: Columns) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_header(columns.iter().copied());
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(row, column)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn cell(row: &Value, column: &str) -> String {
    let found = column
        .split('.')
        .try_fold(row, |value, name| value.get(name))
        .unwrap_or(&Value::Null);
    match found {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(members) if members.is_empty() => String::new(),
        other => plain(other),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_found_by_path_and_missing_ones_are_dashes() {
        let row = json!({"id": "a", "breaker": {"enabled": true}, "collectors": ["x", "y"], "path": "", "labels": {}});
        assert_eq!(cell(&row, "id"), "a");
        assert_eq!(cell(&row, "breaker.enabled"), "true");
        assert_eq!(cell(&row, "collectors"), "x,y");
        assert_eq!(cell(&row, "path"), "-");
        assert_eq!(cell(&row, "labels"), "");
        assert_eq!(cell(&row, "breaker.none.deeper"), "-");
    }

    #[test]
    fn a_table_without_rows_still_names_its_columns() {
        assert_eq!(
            table(&[], &["id", "host"]).split_whitespace().collect::<Vec<_>>(),
            ["id", "host"]
        );
    }
}
