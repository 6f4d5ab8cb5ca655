//! What each method and route needs: the one table that is asked, for gRPC and REST alike.

use crate::Effect::{Read, ScopedRead, ScopedWrite, Write};
use crate::NodeKind::{Exporter, Gateway, Recommender};
use crate::Permission::{Anybody, Known, Nodes, RoleOrNodes};
use crate::{Effect, Permission, Role, Rule};

const VIEWER: Permission = Permission::Role(Role::Viewer);
const OPERATOR: Permission = Permission::Role(Role::Operator);
const EDITOR: Permission = Permission::Role(Role::Editor);
const ADMIN: Permission = Permission::Role(Role::Admin);

const fn rule(name: &'static str, permission: Permission, effect: Effect) -> Rule {
    Rule {
        name,
        permission,
        effect,
    }
}

/// The methods of gRPC, by name.
pub const GRPC: &[Rule] = &[
    rule("/grpc.health.v1.Health/Check", Anybody, Read),
    rule("/grpc.health.v1.Health/List", Anybody, Read),
    rule("/grpc.health.v1.Health/Watch", Anybody, Read),
    rule(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Known,
        Read,
    ),
    rule(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Known,
        Read,
    ),
    rule("/tyrscale.v1.AccessService/CreateToken", ADMIN, Write),
    rule("/tyrscale.v1.AccessService/ListAudit", ADMIN, Read),
    rule("/tyrscale.v1.AccessService/ListRevokedNodes", ADMIN, Read),
    rule("/tyrscale.v1.AccessService/ListTokens", ADMIN, Read),
    rule("/tyrscale.v1.AccessService/RevokeNode", ADMIN, Write),
    rule("/tyrscale.v1.AccessService/RevokeToken", ADMIN, Write),
    rule("/tyrscale.v1.AccessService/RotateToken", ADMIN, Write),
    rule("/tyrscale.v1.AccessService/VerifyAudit", ADMIN, Read),
    rule("/tyrscale.v1.AccessService/WatchAudit", ADMIN, Read),
    rule("/tyrscale.v1.AccessService/WhoAmI", Known, ScopedRead),
    rule("/tyrscale.v1.ConfigurationService/Apply", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.ConfigurationService/CreateTag", EDITOR, Write),
    rule("/tyrscale.v1.ConfigurationService/DeleteTag", EDITOR, Write),
    rule(
        "/tyrscale.v1.ConfigurationService/DiffRevisions",
        VIEWER,
        ScopedRead,
    ),
    rule("/tyrscale.v1.ConfigurationService/Export", VIEWER, ScopedRead),
    rule("/tyrscale.v1.ConfigurationService/ListRevisions", VIEWER, Read),
    rule("/tyrscale.v1.ConfigurationService/ListTags", VIEWER, Read),
    rule(
        "/tyrscale.v1.ConfigurationService/Rollback",
        OPERATOR,
        ScopedWrite,
    ),
    rule("/tyrscale.v1.ConfigurationService/Watch", VIEWER, Read),
    rule(
        "/tyrscale.v1.CoordinationService/Campaign",
        Nodes(&[Recommender]),
        Read,
    ),
    rule(
        "/tyrscale.v1.CoordinationService/Join",
        Nodes(&[Exporter, Recommender]),
        Read,
    ),
    rule(
        "/tyrscale.v1.DiscoveryService/StreamConfig",
        Nodes(&[Gateway, Exporter, Recommender]),
        Read,
    ),
    rule("/tyrscale.v1.NetworkService/CreateNetwork", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.NetworkService/DeleteNetwork", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.NetworkService/GetNetwork", VIEWER, ScopedRead),
    rule("/tyrscale.v1.NetworkService/ListNetworks", VIEWER, ScopedRead),
    rule("/tyrscale.v1.NetworkService/UpdateNetwork", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.PluginService/CreatePlugin", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.PluginService/DeletePlugin", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.PluginService/GetPlugin", VIEWER, ScopedRead),
    rule("/tyrscale.v1.PluginService/ListPlugins", VIEWER, ScopedRead),
    rule("/tyrscale.v1.PluginService/UpdatePlugin", EDITOR, ScopedWrite),
    rule(
        "/tyrscale.v1.RecommendationRunService/ApproveRun",
        OPERATOR,
        Write,
    ),
    rule("/tyrscale.v1.RecommendationRunService/GetRun", VIEWER, Read),
    rule(
        "/tyrscale.v1.RecommendationRunService/ListRuns",
        RoleOrNodes(Role::Viewer, &[Recommender]),
        Read,
    ),
    rule(
        "/tyrscale.v1.RecommendationRunService/RecordRun",
        Nodes(&[Recommender]),
        Read,
    ),
    rule("/tyrscale.v1.RecommendationRunService/RejectRun", OPERATOR, Write),
    rule("/tyrscale.v1.RecommendationService/ClearWeights", OPERATOR, Write),
    rule(
        "/tyrscale.v1.RecommendationService/CreateRecommendation",
        EDITOR,
        ScopedWrite,
    ),
    rule(
        "/tyrscale.v1.RecommendationService/DeleteRecommendation",
        EDITOR,
        ScopedWrite,
    ),
    rule(
        "/tyrscale.v1.RecommendationService/GetRecommendation",
        VIEWER,
        ScopedRead,
    ),
    rule(
        "/tyrscale.v1.RecommendationService/ListRecommendations",
        VIEWER,
        ScopedRead,
    ),
    rule(
        "/tyrscale.v1.RecommendationService/ListWeights",
        RoleOrNodes(Role::Viewer, &[Recommender]),
        Read,
    ),
    rule(
        "/tyrscale.v1.RecommendationService/SetWeights",
        RoleOrNodes(Role::Operator, &[Recommender]),
        Write,
    ),
    rule(
        "/tyrscale.v1.RecommendationService/UpdateRecommendation",
        EDITOR,
        ScopedWrite,
    ),
    rule("/tyrscale.v1.RouteService/CreateRoute", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.RouteService/DeleteRoute", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.RouteService/GetRoute", VIEWER, ScopedRead),
    rule("/tyrscale.v1.RouteService/ListRoutes", VIEWER, ScopedRead),
    rule("/tyrscale.v1.RouteService/UpdateRoute", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.RpcService/CreateRpc", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.RpcService/DeleteRpc", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.RpcService/GetRpc", VIEWER, ScopedRead),
    rule("/tyrscale.v1.RpcService/ListRpcs", VIEWER, ScopedRead),
    rule("/tyrscale.v1.RpcService/UpdateRpc", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.SecretService/CreateSecret", OPERATOR, ScopedWrite),
    rule("/tyrscale.v1.SecretService/DeleteSecret", OPERATOR, ScopedWrite),
    rule("/tyrscale.v1.SecretService/GetSecret", VIEWER, ScopedRead),
    rule("/tyrscale.v1.SecretService/ListSecrets", VIEWER, ScopedRead),
    rule("/tyrscale.v1.SecretService/RotateSecretKey", ADMIN, Write),
    rule("/tyrscale.v1.SecretService/UpdateSecret", OPERATOR, ScopedWrite),
    rule("/tyrscale.v1.StatusService/ControlRollout", OPERATOR, Write),
    rule("/tyrscale.v1.StatusService/GetNode", VIEWER, Read),
    rule("/tyrscale.v1.StatusService/GetRollout", VIEWER, Read),
    rule("/tyrscale.v1.StatusService/ListNodes", VIEWER, Read),
    rule("/tyrscale.v1.StatusService/ListRollouts", VIEWER, Read),
    rule("/tyrscale.v1.StatusService/SetFreeze", OPERATOR, Write),
    rule("/tyrscale.v1.StatusService/WaitForRevision", VIEWER, Read),
    rule("/tyrscale.v1.StatusService/WatchNodes", VIEWER, Read),
    rule(
        "/tyrscale.v1.TelemetryService/GetTelemetry",
        RoleOrNodes(Role::Viewer, &[Recommender]),
        Read,
    ),
    rule(
        "/tyrscale.v1.TelemetryService/ListTelemetry",
        RoleOrNodes(Role::Viewer, &[Recommender]),
        Read,
    ),
    rule(
        "/tyrscale.v1.TelemetryService/StreamTelemetry",
        Nodes(&[Gateway, Exporter]),
        Read,
    ),
    rule(
        "/tyrscale.v1.TelemetryService/WatchTelemetry",
        RoleOrNodes(Role::Viewer, &[Recommender]),
        Read,
    ),
    rule("/tyrscale.v1.UpstreamService/CreateUpstream", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.UpstreamService/DeleteUpstream", EDITOR, ScopedWrite),
    rule("/tyrscale.v1.UpstreamService/GetUpstream", VIEWER, ScopedRead),
    rule("/tyrscale.v1.UpstreamService/ListUpstreams", VIEWER, ScopedRead),
    rule(
        "/tyrscale.v1.UpstreamService/UpdateUpstream",
        OPERATOR,
        ScopedWrite,
    ),
];

/// The routes of REST, by name. They know no scopes.
pub const REST: &[Rule] = &[
    rule("DELETE /api/v1/networks/{name}", EDITOR, Write),
    rule("DELETE /api/v1/recommendations/{route_uuid}", EDITOR, Write),
    rule("DELETE /api/v1/routes/{route_uuid}", EDITOR, Write),
    rule(
        "DELETE /api/v1/routes/{route_uuid}/upstreams/{uuid}",
        EDITOR,
        Write,
    ),
    rule("DELETE /api/v1/rpcs/{uuid}", EDITOR, Write),
    rule("GET /api/v1/networks", VIEWER, Read),
    rule("GET /api/v1/plugins", VIEWER, Read),
    rule("GET /api/v1/recommendations", VIEWER, Read),
    rule("GET /api/v1/routes", VIEWER, Read),
    rule("GET /api/v1/routes/{route_uuid}/plugins", VIEWER, Read),
    rule("GET /api/v1/routes/{route_uuid}/upstreams", VIEWER, Read),
    rule("GET /api/v1/rpcs", VIEWER, Read),
    rule("GET /api/v1/upstreams", VIEWER, Read),
    rule("GET /liveness", Anybody, Read),
    rule("GET /readiness", Anybody, Read),
    rule("GET /swagger", Anybody, Read),
    rule("GET /swagger/doc.json", Anybody, Read),
    rule("GET /swagger/{file}", Anybody, Read),
    rule("PATCH /api/v1/routes/{route_uuid}", EDITOR, Write),
    rule("POST /api/v1/networks", EDITOR, Write),
    rule("POST /api/v1/recommendations", EDITOR, Write),
    rule("POST /api/v1/routes", EDITOR, Write),
    rule("POST /api/v1/routes/{route_uuid}/attach-plugin", EDITOR, Write),
    rule("POST /api/v1/routes/{route_uuid}/detach-plugin", EDITOR, Write),
    rule("POST /api/v1/routes/{route_uuid}/upstreams", EDITOR, Write),
    rule("POST /api/v1/rpcs", EDITOR, Write),
    rule("PUT /api/v1/recommendations", EDITOR, Write),
    rule("PUT /api/v1/routes/{route_uuid}/upstreams", EDITOR, Write),
    rule("PUT /api/v1/rpcs", EDITOR, Write),
];

/// What a method of gRPC (`/package.Service/Method`) or a route of REST (`METHOD /path/{parameter}`) needs; none when there
/// is no such method or route.
#[must_use]
pub fn permission_of(name: &str) -> Option<&'static Rule> {
    let table = if name.starts_with('/') { GRPC } else { REST };
    let place = table.binary_search_by_key(&name, |rule| rule.name).ok()?;
    table.get(place)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_of_the_protos_has_a_rule_and_no_rule_is_for_another() {
        let described = FileDescriptorSet::decode(tyrscale_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut methods = BTreeSet::new();
        for file in &described.file {
            for service in &file.service {
                for method in &service.method {
                    methods.insert(format!(
                        "/{}.{}/{}",
                        file.package(),
                        service.name(),
                        method.name()
                    ));
                }
            }
        }
        let ours = |name: &&Rule| name.name.starts_with("/tyrscale.");
        let ruled: BTreeSet<_> = GRPC
            .iter()
            .filter(ours)
            .map(|rule| rule.name.to_owned())
            .collect();
        let without: Vec<_> = methods.difference(&ruled).collect();
        let for_nothing: Vec<_> = ruled.difference(&methods).collect();
        assert!(
            without.is_empty() && for_nothing.is_empty(),
            "control-plane/access/src/table.rs has no rule for {without:?}, and rules for nothing: {for_nothing:?}"
        );
    }

    #[test]
    fn rules_are_in_order_so_that_they_are_found() {
        for table in [GRPC, REST] {
            assert!(table.is_sorted_by(|one, next| one.name < next.name));
        }
        assert!(permission_of("GET /liveness").is_some());
        assert!(permission_of("GET /livenes").is_none());
        assert!(permission_of("/tyrscale.v1.AccessService/WhoAmI").is_some());
    }

    #[test]
    fn whatever_writes_needs_a_role() {
        for rule in GRPC.iter().chain(REST).filter(|rule| rule.effect.is_write()) {
            let is_for_users = matches!(rule.permission, Permission::Role(role) | RoleOrNodes(role, _) if role >= Role::Operator);
            assert!(is_for_users, "{}", rule.name);
        }
    }
}
