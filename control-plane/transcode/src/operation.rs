//! Which HTTP method and path a gRPC method has, from its descriptor.

use std::collections::BTreeMap;

use http::Method;
use prost_reflect::{
    DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

/// Where the parts of a request message come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Binding {
    /// All fields from the query.
    Query,
    /// This field from the path, the others from the query.
    Id(FieldDescriptor),
    /// This field is the body, the others come from the query.
    Resource(FieldDescriptor),
    /// A resource that the path names.
    ResourceAt {
        /// The field of the request that is the body.
        resource: FieldDescriptor,
        /// The field of the resource that is in the path.
        id: FieldDescriptor,
        /// Whether the body is the whole of it, or only what changes.
        whole: bool,
    },
    /// The body is the message.
    Body,
    /// The body is an array of messages.
    Sequence,
}

impl Binding {
    /// Whether the path goes on with an id.
    pub(crate) const fn has_id(&self) -> bool {
        matches!(self, Self::Id(_) | Self::ResourceAt { .. })
    }
}

/// A gRPC method over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) verb: Method,
    /// The path's segment after the prefix.
    pub(crate) collection: String,
    pub(crate) method: MethodDescriptor,
    pub(crate) binding: Binding,
}

/// All operations, by the first segment of the path.
#[derive(Debug, Default)]
pub(crate) struct Operations(BTreeMap<String, Vec<Operation>>);

impl Operations {
    /// Those of all services of a package.
    pub(crate) fn of(pool: &DescriptorPool, package: &str) -> Self {
        let mut operations = Self::default();
        for service in pool
            .services()
            .filter(|service| service.package_name() == package)
        {
            for method in service.methods() {
                for operation in operations_of(&service, &method) {
                    let same = operations.0.entry(operation.collection.clone()).or_default();
                    same.push(operation);
                }
            }
        }
        operations
    }

    /// Those at a path, whatever the HTTP method; empty when there is no such path.
    pub(crate) fn at(&self, collection: &str, has_id: bool) -> impl Iterator<Item = &Operation> {
        let all = self.0.get(collection).into_iter().flatten();
        all.filter(move |operation| operation.binding.has_id() == has_id)
    }

    /// All of them, by path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.0.values().flatten()
    }
}

fn operations_of(service: &ServiceDescriptor, method: &MethodDescriptor) -> Vec<Operation> {
    let make = |verb, collection, binding| Operation {
        verb,
        collection,
        method: method.clone(),
        binding,
    };
    let own_path = kebab(method.name());
    match (method.is_client_streaming(), method.is_server_streaming()) {
        // Both sides talk at once: HTTP and JSON cannot.
        (true, true) => return Vec::new(),
        (true, false) => return vec![make(Method::POST, own_path, Binding::Sequence)],
        (false, true) => return vec![make(Method::GET, own_path, Binding::Query)],
        (false, false) => {}
    }
    let standard = standard(service, method).unwrap_or_default();
    if standard.is_empty() {
        return vec![make(Method::POST, own_path, Binding::Body)];
    }
    standard
        .into_iter()
        .map(|(verb, collection, binding)| make(verb, collection, binding))
        .collect()
}

type Route = (Method, String, Binding);

/// The forms of a standard method (`List`, `Get`, `Create`, `Update`, `Delete`); none when it is not one.
fn standard(service: &ServiceDescriptor, method: &MethodDescriptor) -> Option<Vec<Route>> {
    let (verb, noun) = split(method.name())?;
    let input = method.input();
    if verb == "List" {
        return Some(vec![(Method::GET, kebab(noun), Binding::Query)]);
    }
    let collection = collection_of(service, noun);
    let first = input.get_field(1);
    let id = first.filter(|field| matches!(field.kind(), Kind::String) && !field.is_list());
    let resource = input
        .get_field_by_name(&snake(noun))
        .filter(|field| matches!(field.kind(), Kind::Message(_)) && !field.is_list());
    let route = match (verb, id, resource, collection) {
        ("Get", Some(id), _, Some(collection)) => vec![(Method::GET, collection, Binding::Id(id))],
        ("Get", _, _, None) => vec![(Method::GET, kebab(noun), Binding::Query)],
        ("Delete", Some(id), _, Some(collection)) => vec![(Method::DELETE, collection, Binding::Id(id))],
        ("Create", _, Some(resource), Some(collection)) => {
            vec![(Method::POST, collection, Binding::Resource(resource))]
        }
        ("Create", _, None, Some(collection)) => vec![(Method::POST, collection, Binding::Body)],
        ("Update", _, Some(resource), Some(collection)) => {
            let id = id_of(service, noun, &resource)?;
            let at = |whole| Binding::ResourceAt {
                resource: resource.clone(),
                id: id.clone(),
                whole,
            };
            vec![
                (Method::PATCH, collection.clone(), at(false)),
                (Method::PUT, collection, at(true)),
            ]
        }
        _ => return None,
    };
    Some(route)
}

/// The field of a resource that its `Get` asks for.
fn id_of(service: &ServiceDescriptor, noun: &str, resource: &FieldDescriptor) -> Option<FieldDescriptor> {
    let get = service
        .methods()
        .find(|method| method.name() == format!("Get{noun}"))?;
    let name = get.input().get_field(1)?.name().to_owned();
    message_of(resource)?.get_field_by_name(&name)
}

/// The message a field holds.
pub(crate) fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) => Some(message),
        _ => None,
    }
}

fn split(name: &str) -> Option<(&str, &str)> {
    ["List", "Get", "Create", "Update", "Delete"]
        .into_iter()
        .find_map(|verb| Some((verb, name.strip_prefix(verb)?)))
        .filter(|(_, noun)| noun.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// The path's segment of all things of a noun, if the service lists them.
fn collection_of(service: &ServiceDescriptor, noun: &str) -> Option<String> {
    service.methods().find_map(|method| {
        let listed = method.name().strip_prefix("List")?;
        let same = listed == noun || listed == plural(noun);
        same.then(|| kebab(listed))
    })
}

fn plural(noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{noun}s"),
    }
}

/// `WaitForRevision` as `wait-for-revision`.
fn kebab(name: &str) -> String {
    snake(name).replace('_', "-")
}

fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn operations() -> Operations {
        let pool = DescriptorPool::decode(tyrscale_proto::FILE_DESCRIPTOR_SET).unwrap();
        Operations::of(&pool, "tyrscale.v1")
    }

    fn shape(operation: &Operation) -> String {
        let id = if operation.binding.has_id() { "/{id}" } else { "" };
        format!("{} {}{id}", operation.verb, operation.collection)
    }

    #[test]
    fn standard_methods_are_collections_and_others_have_their_own_name() {
        let operations = operations();
        let of = |method: &str| {
            let all = operations
                .iter()
                .filter(|operation| operation.method.name() == method);
            all.map(shape).collect::<Vec<_>>()
        };
        assert_eq!(of("ListNetworks"), ["GET networks"]);
        assert_eq!(of("GetNetwork"), ["GET networks/{id}"]);
        assert_eq!(of("CreateNetwork"), ["POST networks"]);
        assert_eq!(of("UpdateNetwork"), ["PATCH networks/{id}", "PUT networks/{id}"]);
        assert_eq!(of("DeleteNetwork"), ["DELETE networks/{id}"]);
        assert_eq!(of("GetNode"), ["GET nodes/{id}"]);
        assert_eq!(of("WaitForRevision"), ["POST wait-for-revision"]);
        assert_eq!(of("Apply"), ["POST apply"]);
        assert_eq!(of("StreamConfig"), Vec::<String>::new());
    }

    #[test]
    fn no_two_methods_share_a_path() {
        let mut seen = BTreeSet::new();
        for operation in operations().iter() {
            assert!(
                seen.insert(shape(operation)),
                "{} is there twice",
                shape(operation)
            );
        }
    }

    #[test]
    fn every_method_that_does_not_talk_both_ways_has_a_path() {
        let pool = DescriptorPool::decode(tyrscale_proto::FILE_DESCRIPTOR_SET).unwrap();
        let reached: BTreeSet<String> = operations()
            .iter()
            .map(|operation| operation.method.full_name().to_owned())
            .collect();
        for method in pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
        {
            let both = method.is_client_streaming() && method.is_server_streaming();
            assert_eq!(
                reached.contains(method.full_name()),
                !both,
                "{}",
                method.full_name()
            );
        }
    }
}
