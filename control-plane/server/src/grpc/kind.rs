//! What the services of the kinds have in common: they map messages to the operations of [`super::crud`].

/// Implements a kind's service by its five operations, and what else it has.
macro_rules! crud_service {
    (
        $service:path, $owner:ty, $id:ident, $one:ident;
        $get:ident($get_request:ident) -> $get_response:ident;
        $list:ident($list_request:ident) -> $list_response:ident { $many:ident };
        $create:ident($create_request:ident) -> $create_response:ident;
        $update:ident($update_request:ident) -> $update_response:ident;
        $delete:ident($delete_request:ident) -> $delete_response:ident { $($cascade:ident, $deleted:ident)? };
        $($more:tt)*
    ) => {
        #[tonic::async_trait]
        impl $service for $owner {
            async fn $get(
                &self,
                request: tonic::Request<v1::$get_request>,
            ) -> Result<tonic::Response<v1::$get_response>, tonic::Status> {
                let request = request.into_inner();
                let (message, revision) = self.crud().get(&request.$id, request.at_revision).await?;
                let $one = Some(message);
                Ok(tonic::Response::new(v1::$get_response { $one, revision }))
            }

            async fn $list(
                &self,
                request: tonic::Request<v1::$list_request>,
            ) -> Result<tonic::Response<v1::$list_response>, tonic::Status> {
                let request = request.into_inner();
                let listed = self.crud().list(&$crate::grpc::crud::Page {
                    size: request.page_size,
                    token: request.page_token,
                    filter: request.filter,
                    at_revision: request.at_revision,
                })
                .await?;
                Ok(tonic::Response::new(v1::$list_response {
                    $many: listed.messages,
                    next_page_token: listed.next_page_token,
                    revision: listed.revision,
                }))
            }

            async fn $create(
                &self,
                request: tonic::Request<v1::$create_request>,
            ) -> Result<tonic::Response<v1::$create_response>, tonic::Status> {
                let asked = request.get_ref();
                let how = (asked.request_id.as_str(), asked.validate_only);
                let write = $crate::grpc::crud::Write::of(&request, stringify!($create), how)?;
                let request = request.into_inner();
                let (message, version) = self.crud().create(request.$one, write).await?;
                let ($one, version) = (Some(message), Some(version));
                Ok(tonic::Response::new(v1::$create_response { $one, version }))
            }

            async fn $update(
                &self,
                request: tonic::Request<v1::$update_request>,
            ) -> Result<tonic::Response<v1::$update_response>, tonic::Status> {
                let asked = request.get_ref();
                let how = (asked.request_id.as_str(), asked.validate_only);
                let write = $crate::grpc::crud::Write::of(&request, stringify!($update), how)?;
                let request = request.into_inner();
                let (message, version) = self
                    .crud()
                    .update(
                        request.$one,
                        request.update_mask,
                        request.allow_missing,
                        write,
                    )
                    .await?;
                let ($one, version) = (Some(message), Some(version));
                Ok(tonic::Response::new(v1::$update_response { $one, version }))
            }

            async fn $delete(
                &self,
                request: tonic::Request<v1::$delete_request>,
            ) -> Result<tonic::Response<v1::$delete_response>, tonic::Status> {
                let asked = request.get_ref();
                let how = (asked.request_id.as_str(), asked.validate_only);
                let write = $crate::grpc::crud::Write::of(&request, stringify!($delete), how)?;
                let request = request.into_inner();
                let cascade = None::<bool>$(.or(request.$cascade))?;
                let gone = self.crud().delete(&request.$id, request.etag, cascade, write).await?;
                Ok(tonic::Response::new(v1::$delete_response {
                    version: Some(gone.0),
                    $($deleted: gone.1,)?
                }))
            }

            $($more)*
        }
    };
}
pub(crate) use crud_service;

/// The parts of [`Message`] that are the same for every kind.
macro_rules! message_of_kind {
    ($kind:ident, $wire:ident, $id_field:literal) => {
        const KIND: tyrscale_model::Kind = tyrscale_model::Kind::$kind;
        const ID_FIELD: &'static str = $id_field;

        fn meta(&self) -> Option<&v1::ObjectMeta> {
            self.meta.as_ref()
        }

        fn wrap(self) -> v1::Resource {
            v1::Resource {
                resource: Some(v1::resource::Resource::$wire(self)),
            }
        }

        fn unwrap(resource: v1::Resource) -> Option<Self> {
            match resource.resource {
                Some(v1::resource::Resource::$wire(message)) => Some(message),
                _ => None,
            }
        }
    };
}
pub(crate) use message_of_kind;
