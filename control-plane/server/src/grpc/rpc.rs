//! Rpcs as messages and as a service.

use tyrscale_proto::v1;

use super::{
    crud::{Crud, Message, new_id},
    kind::{crud_service, message_of_kind},
    mask::take_field,
};

crud_service! {
    v1::rpc_service_server::RpcService, Crud<v1::Rpc>, id, rpc;
    get_rpc(GetRpcRequest) -> GetRpcResponse;
    list_rpcs(ListRpcsRequest) -> ListRpcsResponse { rpcs };
    create_rpc(CreateRpcRequest) -> CreateRpcResponse;
    update_rpc(UpdateRpcRequest) -> UpdateRpcResponse;
    delete_rpc(DeleteRpcRequest) -> DeleteRpcResponse { cascade, deleted };
}

impl Message for v1::Rpc {
    message_of_kind!(Rpc, Rpc, "id");

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
                id, network, provider, visibility, url, collectors, methods, prices, headers,
                egress_proxy,
            ),
            Some(("methods", path)) => take_field!(self.methods, from.methods => path; allow, ignore),
            Some(("prices", path)) => {
                take_field!(self.prices, from.prices => path; calls, logs, traces, transactions)
            }
            Some(_) => false,
        }
    }
}
