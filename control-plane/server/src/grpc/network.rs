//! Networks as messages and as a service.

use tyrscale_proto::v1;

use super::{
    crud::{Crud, Message},
    kind::{crud_service, message_of_kind},
    mask::take_field,
};

crud_service! {
    v1::network_service_server::NetworkService, Crud<v1::Network>, name, network;
    get_network(GetNetworkRequest) -> GetNetworkResponse;
    list_networks(ListNetworksRequest) -> ListNetworksResponse { networks };
    create_network(CreateNetworkRequest) -> CreateNetworkResponse;
    update_network(UpdateNetworkRequest) -> UpdateNetworkResponse;
    delete_network(DeleteNetworkRequest) -> DeleteNetworkResponse { cascade, deleted };
}

impl Message for v1::Network {
    message_of_kind!(Network, Network, "name");

    fn id(&self) -> String {
        self.name.clone()
    }

    fn take(&mut self, path: &str, from: &Self) -> bool {
        take_field!(self, from, path; name, blockchain, chain_id)
    }
}
