//! Routes as messages and as a service.

use tyrscale_proto::v1;

use super::{
    crud::{Crud, Message, new_id},
    kind::{crud_service, message_of_kind},
    mask::take_field,
};

crud_service! {
    v1::route_service_server::RouteService, Crud<v1::Route>, id, route;
    get_route(GetRouteRequest) -> GetRouteResponse;
    list_routes(ListRoutesRequest) -> ListRoutesResponse { routes };
    create_route(CreateRouteRequest) -> CreateRouteResponse;
    update_route(UpdateRouteRequest) -> UpdateRouteResponse;
    delete_route(DeleteRouteRequest) -> DeleteRouteResponse { cascade, deleted };
}

impl Message for v1::Route {
    message_of_kind!(Route, Route, "id");

    fn id(&self) -> String {
        self.id.clone()
    }

    fn assign_id(&mut self) {
        if self.id.is_empty() {
            self.id = new_id();
        }
    }

    fn take(&mut self, path: &str, from: &Self) -> bool {
        match path.split_once('.') {
            None => take_field!(
                self, from, path;
                id, host, path, load_balancer, circuit_breaker, health_check, retry, limits, methods, cors,
                broadcast_transactions, concurrent_requests, slow_start_ms, tiers, forward_headers, consistency,
                hedge_delay_ms,
            ),
            Some(("circuit_breaker", path)) => take_field!(
                self.circuit_breaker, from.circuit_breaker => path;
                enabled, max_requests, max_consecutive_failures, interval_ms, timeout_ms, failure_percent,
                failure_min_samples, jitter_percent,
            ),
            Some(("health_check", path)) => take_field!(
                self.health_check, from.health_check => path;
                enabled, r#type, combined_with_circuit_breaker, interval_ms, timeout_ms, request,
                tolerance_blocks, unhealthy_threshold, healthy_threshold, passive, check_chain_id, min_peers,
                wrong_log_indexes, min_call_result_bytes,
            ),
            Some(("retry", path)) => take_field!(
                self.retry, from.retry => path;
                max_attempts, same_upstream_attempts, backoff_ms, backoff_max_ms, attempt_timeout_ms,
                request_timeout_ms, budget_percent, budget_min_per_second,
            ),
            Some(("limits", path)) => take_field!(
                self.limits, from.limits => path;
                requests_per_second, burst, client_requests_per_second, client_burst, client_key_header,
                exempt_networks, max_batch, max_body_bytes, message,
            ),
            Some(("methods", path)) => take_field!(self.methods, from.methods => path; allow, ignore),
            Some(("cors", path)) => take_field!(
                self.cors, from.cors => path;
                allowed_origins, allowed_headers, exposed_headers, allow_credentials, max_age_s,
            ),
            Some(("tiers", path)) => take_field!(
                self.tiers, from.tiers => path;
                overprovisioning_percent, return_after_ms,
            ),
            Some(("consistency", path)) => take_field!(
                self.consistency, from.consistency => path;
                rewrite_block_tags, max_log_range, empty_lookups_elsewhere, max_height_jump,
            ),
            Some(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_path_takes_one_field_and_leaves_its_siblings() {
        let breaker = |timeout_ms, max_requests| v1::CircuitBreaker {
            timeout_ms,
            max_requests,
            ..Default::default()
        };
        let mut route = v1::Route {
            circuit_breaker: Some(breaker(1, 2)),
            ..Default::default()
        };
        let from = v1::Route {
            circuit_breaker: Some(breaker(9, 9)),
            ..Default::default()
        };
        assert!(route.take("circuit_breaker.timeout_ms", &from));
        assert_eq!(route.circuit_breaker, Some(breaker(9, 2)));
        assert!(route.take("circuit_breaker", &v1::Route::default()));
        assert_eq!(route.circuit_breaker, None);
    }

    #[test]
    fn a_path_the_message_does_not_have_is_not_taken() {
        for path in [
            "",
            "hosts",
            "circuit_breaker.",
            "circuit_breaker.x",
            "path.x",
            "health_check.request.body",
        ] {
            assert!(!v1::Route::default().take(path, &v1::Route::default()), "{path}");
        }
        assert!(v1::Route::default().take("health_check.type", &v1::Route::default()));
    }
}
