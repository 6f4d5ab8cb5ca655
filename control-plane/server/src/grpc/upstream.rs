//! Upstreams as messages and as a service.

use tyrscale_proto::v1;

use super::{
    crud::{Crud, Message, new_id},
    kind::{crud_service, message_of_kind},
    mask::take_field,
};

crud_service! {
    v1::upstream_service_server::UpstreamService, Crud<v1::Upstream>, id, upstream;
    get_upstream(GetUpstreamRequest) -> GetUpstreamResponse;
    list_upstreams(ListUpstreamsRequest) -> ListUpstreamsResponse { upstreams };
    create_upstream(CreateUpstreamRequest) -> CreateUpstreamResponse;
    update_upstream(UpdateUpstreamRequest) -> UpdateUpstreamResponse;
    delete_upstream(DeleteUpstreamRequest) -> DeleteUpstreamResponse { cascade, deleted };
}

impl Message for v1::Upstream {
    message_of_kind!(Upstream, Upstream, "id");

    const OPERATED: &'static [&'static str] = &["weight", "cordoned"];

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
            None if matches!(path, "rpc_id" | "address") => {
                self.target.clone_from(&from.target);
                true
            }
            None => take_field!(
                self, from, path;
                id, route_id, weight, proxy_host, tier, limits, headers, protocol, cordoned, receipts_method,
            ),
            Some(("limits", path)) => take_field!(
                self.limits, from.limits => path;
                requests_per_second, burst, max_concurrent,
            ),
            Some(("address", path)) => {
                let mut address = address_of(self);
                let known = take_field!(address, address_of(from), path; scheme, host, port, path);
                self.target = Some(v1::upstream::Target::Address(address));
                known
            }
            Some(_) => false,
        }
    }
}

fn address_of(upstream: &v1::Upstream) -> v1::Address {
    match &upstream.target {
        Some(v1::upstream::Target::Address(address)) => address.clone(),
        _ => v1::Address::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::upstream::Target;

    #[test]
    fn either_target_can_replace_the_other() {
        let mut upstream = v1::Upstream {
            target: Some(Target::RpcId("r".to_owned())),
            weight: 3.0,
            ..Default::default()
        };
        let from = v1::Upstream {
            target: Some(Target::Address(v1::Address::default())),
            ..Default::default()
        };
        assert!(upstream.take("address", &from));
        assert_eq!(upstream.target, from.target);
        assert!((upstream.weight - 3.0).abs() < f64::EPSILON);
    }

    #[test]
    fn one_field_of_the_address_changes_alone() {
        let at = |host: &str, port| {
            Some(Target::Address(v1::Address {
                host: host.to_owned(),
                port,
                ..Default::default()
            }))
        };
        let mut upstream = v1::Upstream {
            target: at("a", 1),
            ..Default::default()
        };
        let from = v1::Upstream {
            target: at("b", 2),
            ..Default::default()
        };
        assert!(upstream.take("address.port", &from));
        assert_eq!(upstream.target, at("a", 2));
        assert!(!upstream.take("address.user", &from));
    }
}
