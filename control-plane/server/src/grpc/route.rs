//! Routes as messages and as a service.

use tyrscale_proto::v1;

use super::{
    crud::{Message, new_id},
    kind::{crud_service, message_of_kind},
    mask::take_field,
};

crud_service! {
    v1::route_service_server::RouteService, v1::Route, id, route;
    get_route(GetRouteRequest) -> GetRouteResponse;
    list_routes(ListRoutesRequest) -> ListRoutesResponse { routes };
    create_route(CreateRouteRequest) -> CreateRouteResponse;
    update_route(UpdateRouteRequest) -> UpdateRouteResponse;
    delete_route(DeleteRouteRequest) -> DeleteRouteResponse;
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
            None => {
                take_field!(self, from, path; id, host, path, load_balancer, circuit_breaker, health_check)
            }
            Some(("circuit_breaker", path)) => {
                let from = from.circuit_breaker.unwrap_or_default();
                take_circuit_breaker(self.circuit_breaker.get_or_insert_default(), &from, path)
            }
            Some(("health_check", path)) => {
                let from = from.health_check.clone().unwrap_or_default();
                take_health_check(self.health_check.get_or_insert_default(), &from, path)
            }
            Some(_) => false,
        }
    }
}

fn take_circuit_breaker(into: &mut v1::CircuitBreaker, from: &v1::CircuitBreaker, path: &str) -> bool {
    take_field!(into, from, path; enabled, max_requests, max_consecutive_failures, interval_ms, timeout_ms)
}

fn take_health_check(into: &mut v1::HealthCheck, from: &v1::HealthCheck, path: &str) -> bool {
    take_field!(
        into, from, path;
        enabled, r#type, combined_with_circuit_breaker, interval_ms, timeout_ms, request, tolerance_blocks,
        unhealthy_threshold, healthy_threshold,
    )
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
