//! Query parameters as fields of a message.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Number, Value};

use crate::{error::ApiError, operation::message_of};

/// Sets the fields that a query names: `page_size=10`, `selector.kinds=KIND_ROUTE`, a repeated field as often as it
/// has values.
///
/// # Errors
/// [`ApiError::BadRequest`] naming the parameter and the rule.
pub(crate) fn read(
    query: &str,
    message: &MessageDescriptor,
    into: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    for (name, text) in form_urlencoded::parse(query.as_bytes()) {
        set(&name, &name, &text, message, into)?;
    }
    Ok(())
}

fn set(
    whole: &str,
    path: &str,
    text: &str,
    message: &MessageDescriptor,
    into: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let refuse = |rule: &str| ApiError::BadRequest(format!("query parameter {whole:?} {rule}"));
    let (name, rest) = path
        .split_once('.')
        .map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message
        .get_field_by_name(name)
        .or_else(|| message.get_field_by_json_name(name))
        .ok_or_else(|| refuse("is not known"))?;
    let key = field.name().to_owned();
    if let Some(rest) = rest {
        let inner = message_of(&field).ok_or_else(|| refuse("is not known"))?;
        let held = into.entry(key).or_insert_with(|| Value::Object(Map::new()));
        let held = held.as_object_mut().ok_or_else(|| refuse("is given twice"))?;
        return set(whole, rest, text, &inner, held);
    }
    let value = value_of(&field, text).map_err(refuse)?;
    if field.is_list() {
        let held = into.entry(key).or_insert_with(|| Value::Array(Vec::new()));
        held.as_array_mut()
            .ok_or_else(|| refuse("is given twice"))?
            .push(value);
        return Ok(());
    }
    match into.insert(key, value) {
        None => Ok(()),
        Some(_) => Err(refuse("is given twice")),
    }
}

fn value_of(field: &FieldDescriptor, text: &str) -> Result<Value, &'static str> {
    match field.kind() {
        Kind::Bool => text.parse().map(Value::Bool).map_err(|_| "must be true or false"),
        Kind::Double | Kind::Float => text
            .parse()
            .ok()
            .and_then(Number::from_f64)
            .map(Value::Number)
            .ok_or("must be a number"),
        Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 | Kind::Sfixed32 | Kind::Sfixed64 => text
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| "must be a whole number"),
        Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => text
            .parse::<u64>()
            .map(Value::from)
            .map_err(|_| "must be a whole number"),
        // Timestamps, durations and masks are text in JSON; other messages go by their fields.
        Kind::Message(message) if !message.full_name().starts_with("google.protobuf.") => {
            Err("must name a field of it, as in a.b=1")
        }
        Kind::Message(message) if message.full_name() == "google.protobuf.FieldMask" => {
            Ok(Value::String(camel(text)))
        }
        Kind::String | Kind::Bytes | Kind::Enum(_) | Kind::Message(_) => Ok(Value::String(text.to_owned())),
    }
}

/// A mask as JSON spells it: `retry.max_attempts` as `retry.maxAttempts`.
fn camel(mask: &str) -> String {
    let mut text = String::with_capacity(mask.len());
    let mut raise = false;
    for character in mask.chars() {
        if character == '_' {
            raise = true;
        } else if raise {
            text.push(character.to_ascii_uppercase());
            raise = false;
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;
    use serde_json::json;

    use super::*;

    fn parse(message: &str, query: &str) -> Result<Value, String> {
        let pool = DescriptorPool::decode(tyrscale_proto::FILE_DESCRIPTOR_SET).unwrap();
        let message = pool.get_message_by_name(message).unwrap();
        let mut fields = Map::new();
        read(query, &message, &mut fields).map_err(|error| error.to_string())?;
        Ok(Value::Object(fields))
    }

    #[test]
    fn fields_are_read_by_their_kind() {
        let list = "tyrscale.v1.ListNetworksRequest";
        assert_eq!(
            parse(list, "page_size=2&filter=name%3Da"),
            Ok(json!({"page_size": 2, "filter": "name=a"}))
        );
        assert_eq!(parse(list, "pageSize=2"), Ok(json!({"page_size": 2})));
        assert_eq!(
            parse(
                "tyrscale.v1.UpdateRouteRequest",
                "update_mask=host,retry.max_attempts"
            ),
            Ok(json!({"update_mask": "host,retry.maxAttempts"}))
        );
        assert_eq!(
            parse("tyrscale.v1.Hello", "selector.kinds=KIND_ROUTE&selector.kinds=4"),
            Ok(json!({"selector": {"kinds": ["KIND_ROUTE", "4"]}}))
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let list = "tyrscale.v1.ListNetworksRequest";
        for (query, words) in [
            ("size=2", "query parameter \"size\" is not known"),
            (
                "page_size=-1",
                "query parameter \"page_size\" must be a whole number",
            ),
            ("filter=a&filter=b", "query parameter \"filter\" is given twice"),
            ("filter.a=b", "query parameter \"filter.a\" is not known"),
        ] {
            assert_eq!(parse(list, query), Err(words.to_owned()));
        }
    }
}
