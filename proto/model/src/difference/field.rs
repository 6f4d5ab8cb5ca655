//! Differences of fields, found by the descriptors of the messages, so that every field there is counts.

use std::{collections::BTreeMap, fmt::Write as _, sync::LazyLock};

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind as FieldKind, MapKey, MessageDescriptor,
    ReflectMessage as _, Value,
};

use crate::{
    Entry, Resource,
    http_url::MASK,
    wire::{Exposure, resource_to_wire},
};

/// A field that is another. Secrets are masked, so the two sides of a changed secret may look alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// The path inside the resource, e.g. `health_check.interval_ms`.
    pub path: String,
    /// As text; empty when it was not set.
    pub before: String,
    /// As text; empty when it is not set.
    pub after: String,
}

static RESOURCE: LazyLock<Option<MessageDescriptor>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(tyrscale_proto::FILE_DESCRIPTOR_SET).ok()?;
    pool.get_message_by_name("tyrscale.v1.Resource")
});

/// The fields in which `after` differs from `before`, labels, annotations and manager included.
#[must_use]
pub fn field_changes(before: &Entry, after: &Entry) -> Vec<FieldChange> {
    let mut found = Vec::new();
    let sides = (Side::of(&before.resource), Side::of(&after.resource));
    if let (Some(before), Some(after)) = &sides {
        compare("", before, after, &mut found);
    }
    if let (Resource::Secret(before), Resource::Secret(after)) = (&before.resource, &after.resource) {
        name_sealed(before.fingerprint == after.fingerprint, &mut found);
    }
    let (before, after) = (&before.meta, &after.meta);
    for (path, before, after) in [
        ("meta.labels", &before.labels, &after.labels),
        ("meta.annotations", &before.annotations, &after.annotations),
    ] {
        if before != after {
            found.push(FieldChange {
                path: path.to_owned(),
                before: notes(before),
                after: notes(after),
            });
        }
    }
    if before.managed_by != after.managed_by {
        found.push(FieldChange {
            path: "meta.managed_by".to_owned(),
            before: before.managed_by.clone(),
            after: after.managed_by.clone(),
        });
    }
    found
}

/// Another value of a secret shows as such; the same one, sealed anew, as what it is.
fn name_sealed(is_same_value: bool, found: &mut [FieldChange]) {
    for change in found.iter_mut().filter(|change| change.path == "sealed") {
        let path = if is_same_value { "sealed" } else { "value" };
        *change = FieldChange {
            path: path.to_owned(),
            before: MASK.to_owned(),
            after: MASK.to_owned(),
        };
    }
}

fn notes(notes: &BTreeMap<String, String>) -> String {
    let notes = notes.iter().map(|(name, value)| format!("{name}: {value}"));
    notes.collect::<Vec<_>>().join(", ")
}

/// A message as it is, to compare, and as people may see it, to show.
struct Side {
    full: DynamicMessage,
    shown: DynamicMessage,
}

impl Side {
    fn of(resource: &Resource) -> Option<Self> {
        let message = |exposure| {
            let bytes = resource_to_wire(resource, exposure).encode_to_vec();
            let wrapped = DynamicMessage::decode(RESOURCE.clone()?, bytes.as_slice()).ok()?;
            let (_, value) = wrapped.fields().next()?;
            value.as_message().cloned()
        };
        Some(Self {
            full: message(Exposure::Full)?,
            shown: message(Exposure::Masked)?,
        })
    }

    /// The part in a field; `None` unless it is a message that is set.
    fn part(&self, field: &FieldDescriptor) -> Option<Self> {
        let part = |message: &DynamicMessage| {
            let is_set = message.has_field(field) && !field.is_list() && !field.is_map();
            is_set
                .then(|| message.get_field(field).as_message().cloned())
                .flatten()
        };
        Some(Self {
            full: part(&self.full)?,
            shown: part(&self.shown)?,
        })
    }

    fn text(&self, field: &FieldDescriptor) -> String {
        let mut text = String::new();
        if self.shown.has_field(field) || !field.supports_presence() {
            write_value(&mut text, field, &self.shown.get_field(field));
        }
        text
    }
}

fn compare(parent: &str, before: &Side, after: &Side, found: &mut Vec<FieldChange>) {
    for field in before.full.descriptor().fields() {
        let is_same = before.full.has_field(&field) == after.full.has_field(&field)
            && before.full.get_field(&field) == after.full.get_field(&field);
        if is_same {
            continue;
        }
        let path = match parent {
            "" => field.name().to_owned(),
            parent => format!("{parent}.{}", field.name()),
        };
        match (before.part(&field), after.part(&field)) {
            (Some(before), Some(after)) => compare(&path, &before, &after, found),
            _ => found.push(FieldChange {
                path,
                before: before.text(&field),
                after: after.text(&field),
            }),
        }
    }
}

fn write_value(text: &mut String, field: &FieldDescriptor, value: &Value) {
    match value {
        Value::List(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place > 0 { ", " } else { "" });
                write_value(text, field, item);
            }
            text.push(']');
        }
        Value::Map(items) => {
            let items: BTreeMap<String, &Value> =
                items.iter().map(|(key, value)| (key_text(key), value)).collect();
            text.push('{');
            for (place, (key, item)) in items.into_iter().enumerate() {
                text.push_str(if place > 0 { ", " } else { "" });
                text.push_str(&key);
                text.push_str(": ");
                write_value(text, field, item);
            }
            text.push('}');
        }
        Value::Message(message) => {
            text.push('{');
            for (place, (field, value)) in message.fields().enumerate() {
                text.push_str(if place > 0 { ", " } else { "" });
                text.push_str(field.name());
                text.push_str(": ");
                write_value(text, &field, value);
            }
            text.push('}');
        }
        Value::EnumNumber(number) => text.push_str(&word(field, *number)),
        Value::String(value) => text.push_str(value),
        Value::Bytes(bytes) => push(text, format_args!("{} bytes", bytes.len())),
        Value::Bool(value) => push(text, format_args!("{value}")),
        Value::I32(value) => push(text, format_args!("{value}")),
        Value::I64(value) => push(text, format_args!("{value}")),
        Value::U32(value) => push(text, format_args!("{value}")),
        Value::U64(value) => push(text, format_args!("{value}")),
        Value::F32(value) => push(text, format_args!("{value}")),
        Value::F64(value) => push(text, format_args!("{value}")),
    }
}

fn push(text: &mut String, value: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(value).ok();
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::String(key) => key.clone(),
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
    }
}

/// `LOAD_BALANCER_LEAST_LOAD` of the enum `LoadBalancer` as `least-load`.
fn word(field: &FieldDescriptor, number: i32) -> String {
    let FieldKind::Enum(descriptor) = field.kind() else {
        return number.to_string();
    };
    let Some(value) = descriptor.get_value(number) else {
        return number.to_string();
    };
    let first = descriptor.values().find(|value| value.number() == 0);
    let prefix = first.and_then(|first| first.name().strip_suffix("UNSPECIFIED").map(str::to_owned));
    let name = value.name();
    let name = prefix
        .as_deref()
        .and_then(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    name.to_ascii_lowercase().replace('_', "-")
}
