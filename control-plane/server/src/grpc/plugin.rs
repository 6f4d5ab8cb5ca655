//! Plugin attachments as messages and as a service.

use tyrscale_proto::v1;

use super::{
    crud::{Crud, Message},
    kind::{crud_service, message_of_kind},
    mask::take_field,
};

crud_service! {
    v1::plugin_service_server::PluginService, Crud<v1::PluginAttachment>, id, plugin;
    get_plugin(GetPluginRequest) -> GetPluginResponse;
    list_plugins(ListPluginsRequest) -> ListPluginsResponse { plugins };
    create_plugin(CreatePluginRequest) -> CreatePluginResponse;
    update_plugin(UpdatePluginRequest) -> UpdatePluginResponse;
    delete_plugin(DeletePluginRequest) -> DeletePluginResponse { cascade, deleted };
}

impl Message for v1::PluginAttachment {
    message_of_kind!(Plugin, Plugin, "route_id");

    fn id(&self) -> String {
        if self.route_id.is_empty() || self.name.is_empty() {
            return String::new();
        }
        format!("{}/{}", self.route_id, self.name)
    }

    fn take(&mut self, path: &str, from: &Self) -> bool {
        take_field!(self, from, path; route_id, name, r#type, priority, description, config_json)
    }
}
