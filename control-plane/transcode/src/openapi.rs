//! The OpenAPI document of all operations, from the descriptors and the comments of the `.proto` files.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::{
    operation::{Binding, Operation, Operations, message_of},
    router::PREFIX,
};

/// The document. Source: OpenAPI Specification 3.1.
pub(crate) fn document(operations: &Operations) -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut schemas = Schemas::default();
    for operation in operations.iter() {
        let id = if operation.binding.has_id() { "/{id}" } else { "" };
        let path = format!("{PREFIX}/{}{id}", operation.collection);
        let verb = operation.verb.as_str().to_ascii_lowercase();
        paths
            .entry(path)
            .or_default()
            .insert(verb, describe(operation, &mut schemas));
    }
    schemas.0.insert("Error".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "TyrScale",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every method of the gRPC services as HTTP and JSON.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas.0,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    })
}

fn describe(operation: &Operation, schemas: &mut Schemas) -> Value {
    let method = &operation.method;
    let file = method.parent_service().parent_file();
    let output = schemas.reference(&method.output());
    let media = if method.is_server_streaming() {
        "application/x-ndjson"
    } else {
        "application/json"
    };
    let status = if matches!(operation.binding, Binding::Resource(_)) {
        "201"
    } else {
        "200"
    };
    let verb = operation.verb.as_str().to_ascii_lowercase();
    let mut described = json!({
        "operationId": format!("{}_{verb}", method.name()),
        "tags": [method.parent_service().name()],
        "description": comment(&file, method.path()),
        "parameters": parameters(operation, schemas),
        "responses": {
            status: {"description": "The answer.", "content": {media: {"schema": output}}},
            "default": {
                "description": "An error.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    });
    if let Some(body) = body(operation, schemas)
        && let Some(described) = described.as_object_mut()
    {
        let body = json!({"required": true, "content": {"application/json": {"schema": body}}});
        described.insert("requestBody".to_owned(), body);
    }
    described
}

fn body(operation: &Operation, schemas: &mut Schemas) -> Option<Value> {
    let input = operation.method.input();
    match &operation.binding {
        Binding::Query | Binding::Id(_) => None,
        Binding::Resource(resource) | Binding::ResourceAt { resource, .. } => {
            Some(schemas.reference(&message_of(resource)?))
        }
        Binding::Body => Some(schemas.reference(&input)),
        Binding::Sequence => Some(json!({"type": "array", "items": schemas.reference(&input)})),
    }
}

fn parameters(operation: &Operation, schemas: &mut Schemas) -> Vec<Value> {
    let mut told = Vec::new();
    let elsewhere = match &operation.binding {
        Binding::Body | Binding::Sequence => return told,
        Binding::Query => None,
        Binding::Id(field) | Binding::Resource(field) => Some(field.clone()),
        Binding::ResourceAt { resource, .. } => Some(resource.clone()),
    };
    if operation.binding.has_id() {
        told.push(json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}));
    }
    for field in operation.method.input().fields() {
        let nested = message_of(&field).is_some_and(|message| !is_text(&message));
        if Some(&field) == elsewhere.as_ref() || nested {
            continue;
        }
        told.push(json!({
            "name": field.name(),
            "in": "query",
            "description": comment(&field.parent_message().parent_file(), field.path()),
            "schema": schemas.of_field(&field),
        }));
    }
    told
}

/// Messages that JSON writes as text.
fn is_text(message: &MessageDescriptor) -> bool {
    matches!(
        message.full_name(),
        "google.protobuf.Timestamp" | "google.protobuf.Duration" | "google.protobuf.FieldMask"
    )
}

/// The schemas named so far.
#[derive(Debug, Default)]
struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    fn reference(&mut self, message: &MessageDescriptor) -> Value {
        let name = message.name().to_owned();
        if !self.0.contains_key(&name) {
            // Held first, so that a message that holds itself ends.
            self.0.insert(name.clone(), Value::Null);
            let properties: Map<String, Value> = message
                .fields()
                .map(|field| (field.name().to_owned(), self.described(&field)))
                .collect();
            let description = comment(&message.parent_file(), message.path());
            let schema = json!({"type": "object", "description": description, "properties": properties});
            self.0.insert(name.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    fn described(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = self.of_field(field);
        let description = comment(&field.parent_message().parent_file(), field.path());
        if let Some(schema) = schema.as_object_mut()
            && !description.is_empty()
        {
            schema.insert("description".to_owned(), Value::from(description));
        }
        schema
    }

    fn of_field(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map() {
            let value = message_of(field).map(|entry| entry.map_entry_value_field());
            let schema = value.map_or(Value::Bool(true), |value| self.of_kind(&value.kind()));
            return json!({"type": "object", "additionalProperties": schema});
        }
        let schema = self.of_kind(&field.kind());
        if field.is_list() {
            json!({"type": "array", "items": schema})
        } else {
            schema
        }
    }

    fn of_kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Double | Kind::Float => json!({"type": "number"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "integer", "format": "int64"}),
            Kind::Uint32 | Kind::Fixed32 | Kind::Uint64 | Kind::Fixed64 => {
                json!({"type": "integer", "minimum": 0})
            }
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Enum(words) => self.words(words),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
                "google.protobuf.Duration" | "google.protobuf.FieldMask" => json!({"type": "string"}),
                _ => self.reference(message),
            },
        }
    }

    fn words(&mut self, words: &EnumDescriptor) -> Value {
        let name = words.name().to_owned();
        let values: Vec<String> = words.values().map(|value| value.name().to_owned()).collect();
        let description = comment(&words.parent_file(), words.path());
        let schema = json!({"type": "string", "description": description, "enum": values});
        self.0.insert(name.clone(), schema);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["status", "code", "message", "violations"],
            "properties": {
                "status": {"type": "integer", "description": "The HTTP status."},
                "code": {"type": "string", "description": "The gRPC code."},
                "message": {"type": "string"},
                "violations": {"type": "array", "items": {"$ref": "#/components/schemas/Violation"}},
            },
        }},
    })
}

/// The comment above an element of a `.proto` file.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let locations = info.map(|info| info.location.as_slice()).unwrap_or_default();
    let here = locations.iter().find(|location| location.path == path);
    let text = here
        .and_then(|location| location.leading_comments.as_deref())
        .unwrap_or_default();
    text.lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ")
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn every_operation_is_described_and_every_reference_leads_somewhere() {
        let pool = DescriptorPool::decode(tyrscale_proto::FILE_DESCRIPTOR_SET).unwrap();
        let operations = Operations::of(&pool, "tyrscale.v1");
        let document = document(&operations);
        let told: usize = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|at| at.as_object().unwrap().len())
            .sum();
        assert_eq!(told, operations.iter().count());
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        assert_eq!(
            document["paths"]["/api/v2/networks/{id}"]["get"]["description"],
            "NOT_FOUND when there is none."
        );
    }
}
