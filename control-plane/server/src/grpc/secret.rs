//! Secrets as messages and as a service.

use tonic::{Request, Response, Status};
use tyrscale_access::Scope;
use tyrscale_model::{ChangeSet, Rejection, Resource, Secret, Snapshot, wire};
use tyrscale_proto::v1;

use super::{
    Origin,
    bounds::note_commit,
    crud::{Crud, Message, version_of},
    kind::{crud_service, message_of_kind},
    mask::take_field,
    secrets_status, store_status,
};

crud_service! {
    v1::secret_service_server::SecretService, Crud<v1::Secret>, name, secret;
    get_secret(GetSecretRequest) -> GetSecretResponse;
    list_secrets(ListSecretsRequest) -> ListSecretsResponse { secrets };
    create_secret(CreateSecretRequest) -> CreateSecretResponse;
    update_secret(UpdateSecretRequest) -> UpdateSecretResponse;
    delete_secret(DeleteSecretRequest) -> DeleteSecretResponse {};

    async fn rotate_secret_key(
        &self,
        request: Request<v1::RotateSecretKeyRequest>,
    ) -> Result<Response<v1::RotateSecretKeyResponse>, Status> {
        let origin = Origin::of(&request);
        self.vault().rotate().await.map_err(secrets_status)?;
        let vault = self.vault().clone();
        let plan = move |snapshot: &Snapshot| {
            Ok::<_, Rejection>(ChangeSet {
                author: origin.actor.clone(),
                client: origin.client.clone(),
                message: "encrypt secrets with a new key".to_owned(),
                ..vault.sealed_anew(snapshot)?
            })
        };
        let committed = self.store().commit(plan).await.map_err(store_status)?;
        note_commit(&committed, false);
        Ok(Response::new(v1::RotateSecretKeyResponse {
            version: Some(version_of(&committed)),
            secrets: u32::try_from(committed.changes.len()).unwrap_or(u32::MAX),
        }))
    }
}

impl Message for v1::Secret {
    message_of_kind!(Secret, Secret, "name");

    const OPERATED: &'static [&'static str] = &["value", "meta.labels", "meta.annotations"];

    fn id(&self) -> String {
        self.name.clone()
    }

    fn take(&mut self, path: &str, from: &Self) -> bool {
        take_field!(self, from, path; name, value)
    }

    fn complete(&mut self, snapshot: &Snapshot, resource: &Resource, scope: &Scope) {
        if let Resource::Secret(Secret { name, .. }) = resource {
            let key = Secret::key_of(name);
            let referrers = snapshot.referrers_of(&key);
            let referrers = referrers.filter(|referrer| scope.admits(snapshot, referrer));
            self.referrers = referrers.map(wire::key_to_wire).collect();
        }
    }
}
