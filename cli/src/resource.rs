//! Resources as people write and read them: fields named as in the API, enums as words, nothing required.
//!
//! One struct per kind is at once the flags of `create` and `update`, the document of a file, and what is
//! shown. A field that is not set was not given, which is what an update goes by.

mod header;
mod methods;
mod network;
mod part;
mod recommendation;
mod route;
mod rpc;
mod secret;
mod units;
mod upstream;
pub(crate) mod word;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tyrscale_model::Kind;
use tyrscale_proto::v1;

pub(crate) use network::Network;
pub(crate) use recommendation::Recommendation;
pub(crate) use route::Route;
pub(crate) use rpc::Rpc;
pub(crate) use secret::Secret;
pub(crate) use units::{parse_duration, parse_milliseconds};
pub(crate) use upstream::Upstream;

use crate::{Failure, output::Columns, transport::Calls};

/// One kind of resource.
pub(crate) trait Resource:
    clap::Args + Clone + Default + Serialize + DeserializeOwned + Send + Sync + std::fmt::Debug + 'static
{
    /// Its message on the wire.
    type Message: Calls;
    /// The kind.
    const KIND: Kind;
    /// The field that names one.
    const ID: &'static str;
    /// What a table shows.
    const COLUMNS: Columns;
    /// Its fields in the REST interface: the path here and the path there.
    const REST_FIELDS: &'static [(&'static str, &'static str)];

    /// Its id, when set.
    fn id(&self) -> Option<&str>;
    /// What the control plane noted about it.
    fn meta_mut(&mut self) -> &mut Option<Meta>;
    /// Sets what the flags given imply.
    fn complete_flags(&mut self) {}
    /// As a message; what is not set is left at its default.
    fn into_message(self) -> Self::Message;
    /// From a message.
    fn from_message(message: Self::Message) -> Self;
    /// A message as one of any kind.
    fn wrap(message: Self::Message) -> v1::resource::Resource;
}

/// What the control plane notes about a resource. Only the etag counts when it is sent back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Meta {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) etag: String,
    #[serde(skip_serializing_if = "is_unset")]
    create_revision: u64,
    #[serde(skip_serializing_if = "is_unset")]
    modify_revision: u64,
    create_time: Option<String>,
    modify_time: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    modified_by: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    managed_by: String,
}

impl Meta {
    /// That a resource has these labels.
    pub(crate) fn of_labels(labels: BTreeMap<String, String>) -> Self {
        Self {
            labels,
            ..Self::default()
        }
    }

    /// The labels and annotations alone; `None` when there are none.
    pub(crate) fn into_notes(self) -> Option<Self> {
        let notes = Self {
            labels: self.labels,
            annotations: self.annotations,
            ..Self::default()
        };
        (notes != Self::default()).then_some(notes)
    }

    fn from_message(meta: Option<v1::ObjectMeta>) -> Option<Self> {
        let time = |time: Option<prost_types::Timestamp>| time.map(|time| time.to_string());
        meta.map(|meta| Self {
            etag: meta.etag,
            create_revision: meta.create_revision,
            modify_revision: meta.modify_revision,
            create_time: time(meta.create_time),
            modify_time: time(meta.modify_time),
            modified_by: meta.modified_by,
            labels: meta.labels,
            annotations: meta.annotations,
            managed_by: meta.managed_by,
        })
    }

    fn into_message(meta: Option<Self>) -> Option<v1::ObjectMeta> {
        meta.map(|meta| v1::ObjectMeta {
            etag: meta.etag,
            labels: meta.labels,
            annotations: meta.annotations,
            ..v1::ObjectMeta::default()
        })
    }
}

/// Whether a part of a resource has no field set.
fn is_unset<T: Default + PartialEq>(part: &T) -> bool {
    *part == T::default()
}

/// The fields that are set, nested as they are; a part without any is left out.
pub(crate) fn given<R: Resource>(resource: &R) -> Result<Map<String, Value>, Failure> {
    match serde_json::to_value(resource) {
        Ok(Value::Object(fields)) => Ok(pruned(fields)),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(Failure::Refused(format!(
            "cannot encode the {}: {error}",
            R::KIND
        ))),
    }
}

fn pruned(fields: Map<String, Value>) -> Map<String, Value> {
    let keep = |(name, value)| match value {
        Value::Null => None,
        Value::Object(inner) => {
            let inner = pruned(inner);
            (!inner.is_empty()).then_some((name, Value::Object(inner)))
        }
        other => Some((name, other)),
    };
    fields.into_iter().filter_map(keep).collect()
}

/// One resource of what a file and the flags give; flags win.
pub(crate) fn overlaid<R: Resource>(file: &R, flags: &R) -> Result<R, Failure> {
    let mut fields = given(file)?;
    overlay(&mut fields, given(flags)?);
    from_fields(fields)
}

fn overlay(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Object(under)), Value::Object(over)) => overlay(under, over),
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

/// The resource under this id.
pub(crate) fn with_id<R: Resource>(resource: R, id: &str) -> Result<R, Failure> {
    let mut fields = given(&resource)?;
    fields.insert(R::ID.to_owned(), Value::from(id));
    from_fields(fields)
}

/// The resource that has these fields.
pub(crate) fn from_fields<R: Resource>(fields: Map<String, Value>) -> Result<R, Failure> {
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Failure::Usage(format!("{}: {error}", R::KIND)))
}

/// The paths of the fields that are set, but for the id and what only the control plane sets. A health
/// check's request, headers, labels and annotations change as a whole.
pub(crate) fn mask<R: Resource>(resource: &R) -> Result<Vec<String>, Failure> {
    let mut paths = Vec::new();
    for (name, value) in given(resource)? {
        match name.as_str() {
            "meta" => paths.extend(noted(&value).map(str::to_owned)),
            _ if name != R::ID => collect_paths(name, &value, &mut paths),
            _ => {}
        }
    }
    Ok(paths)
}

/// What people note with a resource, in its `meta`.
fn noted(meta: &Value) -> impl Iterator<Item = &'static str> {
    let notes = [("labels", "meta.labels"), ("annotations", "meta.annotations")];
    notes
        .into_iter()
        .filter_map(|(name, path)| meta.get(name).map(|_| path))
}

fn collect_paths(path: String, value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !matches!(path.as_str(), "health_check.request" | "headers") => {
            for (name, value) in fields {
                collect_paths(format!("{path}.{name}"), value, paths);
            }
        }
        _ => paths.push(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<R: Resource>(yaml: &str) -> R {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn a_mask_names_only_what_was_given() {
        let route: Route = parse(
            "{id: a, path: '', circuit_breaker: {timeout_ms: 5}, health_check: {request: {method: GET}}, meta: {etag: e}}",
        );
        assert_eq!(
            mask(&route).unwrap(),
            ["circuit_breaker.timeout_ms", "health_check.request", "path"]
        );
        let upstream: Upstream = parse("{id: a, weight: 0, address: {port: 1}}");
        assert_eq!(mask(&upstream).unwrap(), ["address.port", "weight"]);
        let upstream: Upstream =
            parse("{id: a, cordoned: false, headers: {x-key: v}, limits: {burst: 0}, protocol: auto}");
        let expected = ["cordoned", "headers", "limits.burst", "protocol"];
        assert_eq!(mask(&upstream).unwrap(), expected);
        let network: Network = parse("{name: a, meta: {labels: {team: b}, modified_by: c}}");
        assert_eq!(mask(&network).unwrap(), ["meta.labels"]);
    }

    #[test]
    fn flags_win_over_the_file_field_by_field() {
        let file: Route = parse("{host: a, circuit_breaker: {timeout_ms: 5, enabled: true}}");
        let flags: Route = parse("{host: b, circuit_breaker: {timeout_ms: 6}}");
        let expected: Route = parse("{host: b, circuit_breaker: {timeout_ms: 6, enabled: true}}");
        assert_eq!(overlaid(&file, &flags).unwrap(), expected);
    }

    #[test]
    fn a_field_that_does_not_exist_is_named() {
        let error = serde_saphyr::from_str::<Route>("{hosts: a}").unwrap_err();
        assert!(error.to_string().contains("hosts"), "{error}");
    }
}
