//! The operations and the OpenAPI document, both from the handlers.

use std::collections::BTreeMap;

use axum::Router;
use utoipa::{
    IntoResponses, OpenApi,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState, envelope::Failure, networks, plugins, probes, recommendations, routes, rpcs, swagger,
    upstreams,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "TyrScale",
        description = "Configuration of a load balancer for blockchain JSON-RPC endpoints.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Failure)),
    tags(
        (name = "networks", description = "The chains that clients can reach."),
        (name = "rpcs", description = "The JSON-RPC endpoints of networks."),
        (name = "routes", description = "Where clients connect."),
        (name = "upstreams", description = "The places a route sends requests to."),
        (name = "plugins", description = "Plugins of gateways and routes."),
        (name = "recommendations", description = "Routes whose weights are computed."),
        (name = "health", description = "Whether the service is well.")
    )
)]
struct Document;

/// The name of every route: `METHOD /path/{parameter}`.
#[must_use]
pub fn route_names() -> Vec<String> {
    let (_, document) = described();
    let mut names = Vec::new();
    for (path, item) in &document.paths.paths {
        let methods = [
            ("GET", &item.get),
            ("PUT", &item.put),
            ("POST", &item.post),
            ("DELETE", &item.delete),
            ("PATCH", &item.patch),
            ("HEAD", &item.head),
            ("OPTIONS", &item.options),
            ("TRACE", &item.trace),
        ];
        let of_path = methods.into_iter().filter(|(_, operation)| operation.is_some());
        names.extend(of_path.map(|(method, _)| format!("{method} {path}")));
    }
    names.extend(swagger::PATHS.map(|path| format!("GET {path}")));
    names
}

/// The router of all operations and the paths it knows.
pub(crate) fn operations(state: RestState) -> (Router, Vec<String>) {
    let (router, document) = described();
    let mut paths: Vec<String> = document.paths.paths.keys().cloned().collect();
    paths.extend(swagger::PATHS.map(str::to_owned));
    let router = router.with_state(state).merge(swagger::routes(document));
    (router, paths)
}

fn described() -> (Router<RestState>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(networks::list, networks::create))
        .routes(routes!(networks::delete))
        .routes(routes!(rpcs::list, rpcs::create, rpcs::update))
        .routes(routes!(rpcs::delete))
        .routes(routes!(routes::list, routes::create))
        .routes(routes!(routes::update, routes::delete))
        .routes(routes!(upstreams::list, upstreams::put, upstreams::post))
        .routes(routes!(upstreams::delete))
        .routes(routes!(upstreams::list_by_query))
        .routes(routes!(plugins::list))
        .routes(routes!(plugins::list_of_route))
        .routes(routes!(plugins::attach))
        .routes(routes!(plugins::detach))
        .routes(routes!(
            recommendations::list,
            recommendations::create,
            recommendations::update
        ))
        .routes(routes!(recommendations::delete))
        .routes(routes!(probes::liveness))
        .routes(routes!(probes::readiness))
        .split_for_parts()
}

fn refusal(status: u16, description: &str) -> BTreeMap<String, RefOr<Response>> {
    let schema = Ref::from_schema_name("Failure");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/json", content)
        .build();
    BTreeMap::from([(status.to_string(), RefOr::T(response))])
}

macro_rules! refusals {
    ($($name:ident = $status:literal, $description:literal;)+) => {$(
        #[doc = $description]
        pub(crate) enum $name {}

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                refusal($status, $description)
            }
        }
    )+};
}

refusals! {
    BadRequest = 400, "A field is missing or wrong; code 3";
    NotFound = 404, "It, or what it names, is not there; code 5";
    Conflict = 409, "Something is in the way; code 6";
    Internal = 500, "The store takes no writes; code 13";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_has_a_rule_and_no_rule_is_for_another() {
        let names: BTreeSet<_> = route_names().into_iter().collect();
        let ruled: BTreeSet<_> = tyrscale_access::REST
            .iter()
            .map(|rule| rule.name.to_owned())
            .collect();
        assert_eq!(
            names, ruled,
            "control-plane/access/src/table.rs says what each route needs"
        );
    }
}
