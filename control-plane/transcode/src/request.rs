//! An HTTP request as the messages of its method.

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};
use serde_json::{Map, Value};

use crate::{
    error::ApiError,
    operation::{Binding, Operation, message_of},
    query,
};

/// The parts of a request that become fields.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts<'a> {
    /// From the path, decoded.
    pub(crate) id: Option<&'a str>,
    pub(crate) query: &'a str,
    pub(crate) body: &'a [u8],
    /// The etag that the header `If-Match` names.
    pub(crate) etag: Option<&'a str>,
}

/// The messages to send: one, or as many as the method takes.
///
/// # Errors
/// [`ApiError::BadRequest`] saying what is no field of the message, or has a wrong type.
pub(crate) fn messages(operation: &Operation, parts: Parts<'_>) -> Result<Vec<DynamicMessage>, ApiError> {
    let input = operation.method.input();
    if operation.binding == Binding::Sequence {
        let Value::Array(items) = json(parts.body)? else {
            return Err(bad("the body must be an array of messages"));
        };
        let read = |(index, item)| {
            message(&input, item).map_err(|error| bad(format!("message {index} of the body: {error}")))
        };
        return items.into_iter().enumerate().map(read).collect();
    }
    let fields = fields(operation, &input, parts)?;
    Ok(vec![message(&input, Value::Object(fields))?])
}

fn fields(
    operation: &Operation,
    input: &MessageDescriptor,
    parts: Parts<'_>,
) -> Result<Map<String, Value>, ApiError> {
    let mut fields = Map::new();
    if operation.binding == Binding::Body {
        if !parts.body.is_empty() {
            fields = object(json(parts.body)?, "the body")?;
        }
    } else {
        query::read(parts.query, input, &mut fields)?;
    }
    let id = || parts.id.map_or(Value::Null, Value::from);
    match &operation.binding {
        Binding::Query | Binding::Body | Binding::Sequence => {}
        Binding::Id(field) => {
            fields.insert(field.name().to_owned(), id());
            if let (Some(etag), Some(field)) = (parts.etag, input.get_field_by_name("etag")) {
                fields.insert(field.name().to_owned(), Value::from(etag));
            }
        }
        Binding::Resource(resource) => {
            fields.insert(resource.name().to_owned(), json(parts.body)?);
        }
        Binding::ResourceAt {
            resource,
            id: key,
            whole,
        } => {
            let mut body = object(json(parts.body)?, "the body")?;
            name(&mut body, key, parts.id.unwrap_or_default())?;
            if let Some(etag) = parts.etag {
                expect(&mut body, etag)?;
            }
            if !fields.contains_key("update_mask") {
                let mask = if *whole {
                    "*".to_owned()
                } else {
                    mask_of(resource, key, &body)
                };
                fields.insert("update_mask".to_owned(), Value::from(mask));
            }
            if *whole && !fields.contains_key("allow_missing") {
                fields.insert("allow_missing".to_owned(), Value::Bool(parts.etag.is_none()));
            }
            fields.insert(resource.name().to_owned(), Value::Object(body));
        }
    }
    Ok(fields)
}

/// Gives the resource the id of its path.
fn name(body: &mut Map<String, Value>, key: &FieldDescriptor, id: &str) -> Result<(), ApiError> {
    let said = body.remove(key.json_name()).or_else(|| body.remove(key.name()));
    if said.is_some_and(|said| said != id) {
        return Err(bad(format!("{} differs from the path", key.name())));
    }
    body.insert(key.name().to_owned(), Value::from(id));
    Ok(())
}

/// Makes the write conditional on an etag.
fn expect(body: &mut Map<String, Value>, etag: &str) -> Result<(), ApiError> {
    let meta = body.entry("meta").or_insert_with(|| Value::Object(Map::new()));
    let meta = meta
        .as_object_mut()
        .ok_or_else(|| bad("meta must be an object"))?;
    meta.insert("etag".to_owned(), Value::from(etag));
    Ok(())
}

/// The fields that a body names, those of a nested message one by one, so that its others stay as they are.
/// Source: RFC 7396, JSON Merge Patch.
fn mask_of(resource: &FieldDescriptor, key: &FieldDescriptor, body: &Map<String, Value>) -> String {
    let Some(message) = message_of(resource) else {
        return String::new();
    };
    let mut paths = Vec::new();
    for (word, value) in body {
        let Some(field) = field_of(&message, word) else {
            continue;
        };
        if field == *key || field.name() == "meta" {
            continue;
        }
        match (value, message_of(&field)) {
            (Value::Object(inner), Some(_)) if !inner.is_empty() && !field.is_map() => {
                let of = |word: &String| {
                    let inner = message_of(&field).and_then(|message| field_of(&message, word));
                    let name = inner.map_or_else(|| word.clone(), |inner| inner.json_name().to_owned());
                    format!("{}.{name}", field.json_name())
                };
                paths.extend(inner.keys().map(of));
            }
            _ => paths.push(field.json_name().to_owned()),
        }
    }
    paths.join(",")
}

fn field_of(message: &MessageDescriptor, word: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_name(word)
        .or_else(|| message.get_field_by_json_name(word))
}

fn message(descriptor: &MessageDescriptor, value: Value) -> Result<DynamicMessage, ApiError> {
    DynamicMessage::deserialize(descriptor.clone(), value).map_err(|error| bad(error.to_string()))
}

fn json(body: &[u8]) -> Result<Value, ApiError> {
    if body.is_empty() {
        return Err(bad("the body is missing"));
    }
    serde_json::from_slice(body).map_err(|error| bad(format!("the body is no JSON: {error}")))
}

fn object(value: Value, what: &str) -> Result<Map<String, Value>, ApiError> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(bad(format!("{what} must be an object"))),
    }
}

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::BadRequest(message.into())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use http::Method;
    use proptest::prelude::*;
    use prost_reflect::DescriptorPool;
    use serde_json::json;

    use super::*;
    use crate::{answer, operation::Operations};

    fn read(verb: &Method, collection: &str, parts: Parts<'_>) -> Result<Value, String> {
        static OPERATIONS: LazyLock<Operations> = LazyLock::new(|| {
            let pool = DescriptorPool::decode(tyrscale_proto::FILE_DESCRIPTOR_SET).unwrap();
            Operations::of(&pool, "tyrscale.v1")
        });
        let mut at = OPERATIONS.at(collection, parts.id.is_some());
        let operation = at.find(|operation| operation.verb == verb).unwrap();
        let messages = messages(operation, parts).map_err(|error| error.to_string())?;
        let told: Vec<Value> = messages
            .iter()
            .map(|message| answer::to_json(message).unwrap())
            .collect();
        Ok(Value::Array(told))
    }

    fn patch(body: &Value) -> Result<Value, String> {
        let body = body.to_string();
        let parts = Parts {
            id: Some("r1"),
            body: body.as_bytes(),
            ..Parts::default()
        };
        read(&Method::PATCH, "routes", parts).map(|told| told[0].clone())
    }

    #[test]
    fn a_patch_names_what_it_holds_and_nothing_else() {
        let told = patch(&json!({"host": "a", "retry": {"maxAttempts": 3}, "cors": null})).unwrap();
        let mask: Vec<&str> = told["update_mask"].as_str().unwrap().split(',').collect();
        assert_eq!(mask, ["cors", "host", "retry.maxAttempts"]);
        assert_eq!(told["route"]["id"], "r1");
        assert_eq!(told["allow_missing"], false);
    }

    #[test]
    fn an_id_in_the_body_must_be_that_of_the_path() {
        assert!(patch(&json!({"id": "r1", "host": "a"})).is_ok());
        assert_eq!(
            patch(&json!({"id": "r2"})).unwrap_err(),
            "id differs from the path"
        );
    }

    #[test]
    fn a_put_replaces_or_creates_unless_an_etag_says_that_it_is_there() {
        let parts = Parts {
            id: Some("a"),
            body: br#"{"chain_id": 1}"#,
            ..Parts::default()
        };
        let told = read(&Method::PUT, "networks", parts).unwrap();
        assert_eq!(told[0]["update_mask"], "*");
        assert_eq!(told[0]["allow_missing"], true);
        let told = read(
            &Method::PUT,
            "networks",
            Parts {
                etag: Some("e"),
                ..parts
            },
        )
        .unwrap();
        assert_eq!(told[0]["allow_missing"], false);
        assert_eq!(told[0]["network"]["meta"]["etag"], "e");
    }

    #[test]
    fn what_is_no_field_is_named() {
        let error = patch(&json!({"hosts": "a"})).unwrap_err();
        assert!(error.contains("hosts"), "{error}");
        let error = patch(&json!({"host": 5})).unwrap_err();
        assert!(error.contains("string"), "{error}");
    }

    #[test]
    fn a_stream_of_messages_is_an_array() {
        let body = br#"[{"header": {"dry_run": true}}, {"commit": {"count": 0}}]"#;
        let told = read(
            &Method::POST,
            "apply",
            Parts {
                body,
                ..Parts::default()
            },
        )
        .unwrap();
        assert_eq!(told[0]["header"]["dry_run"], true);
        let body = br#"[{"header": {}}, {"heder": {}}]"#;
        let error = read(
            &Method::POST,
            "apply",
            Parts {
                body,
                ..Parts::default()
            },
        )
        .unwrap_err();
        assert!(error.starts_with("message 1 of the body"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body in prop::collection::vec(any::<u8>(), 0..200), query in ".{0,60}") {
            let parts = Parts { body: &body, query: &query, ..Parts::default() };
            drop(read(&Method::POST, "networks", parts));
            drop(read(&Method::POST, "apply", parts));
            drop(read(&Method::PATCH, "routes", Parts { id: Some("r"), ..parts }));
        }
    }
}
