//! Secrets: written, never read, stored encrypted, sent to those who need them.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tonic::{Code, transport::Channel};
use tyrscale_proto::v1::{
    self, configuration_service_client::ConfigurationServiceClient, resource::Resource as Wire,
    secret_service_client::SecretServiceClient,
};

use crate::{
    follower::{Follower, Update, hello},
    plane::{Plane, get, id, network, route, rpc, upsert, upstream},
    rest_v2::call,
};

const VALUE: &str = "canary-S3cret-0123456789";
const OTHER: &str = "canary-0ther-9876543210";

fn secret(name: &str, value: Option<&str>) -> v1::Secret {
    v1::Secret {
        name: name.to_owned(),
        value: value.map(str::to_owned),
        ..v1::Secret::default()
    }
}

fn secrets(plane: &Plane) -> SecretServiceClient<Channel> {
    SecretServiceClient::new(plane.channel.clone())
}

fn configuration(plane: &Plane) -> ConfigurationServiceClient<Channel> {
    ConfigurationServiceClient::new(plane.channel.clone())
}

async fn set(plane: &Plane, name: &str, value: &str) -> v1::UpdateSecretResponse {
    let request = v1::UpdateSecretRequest {
        secret: Some(secret(name, Some(value))),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["value".to_owned()],
        }),
        allow_missing: true,
        ..v1::UpdateSecretRequest::default()
    };
    secrets(plane).update_secret(request).await.unwrap().into_inner()
}

async fn list(plane: &Plane) -> Vec<v1::Secret> {
    let listed = secrets(plane)
        .list_secrets(v1::ListSecretsRequest::default())
        .await;
    listed.unwrap().into_inner().secrets
}

/// An rpc and an upstream that use secrets, each one of its own.
fn users() -> Vec<Wire> {
    let rpc = v1::Rpc {
        url: "https://eth.example/v2/${secret:of-rpc}".to_owned(),
        ..rpc(1, "eth")
    };
    let mut upstream = upstream(1, 1, 1.0);
    upstream.headers.insert(
        "authorization".to_owned(),
        "Bearer ${secret:of-upstream}".to_owned(),
    );
    vec![
        network("eth", 1),
        Wire::Secret(secret("of-rpc", Some(VALUE))),
        Wire::Secret(secret("of-upstream", Some(OTHER))),
        Wire::Secret(secret("unused", Some("canary-unused"))),
        Wire::Rpc(rpc),
        Wire::Route(route(1)),
        Wire::Upstream(upstream),
    ]
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.display().to_string(), fs::read(&path).unwrap())),
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn a_secret_is_written_listed_without_its_value_and_kept_while_it_is_used() {
    let plane = Plane::start().await;
    plane.put(users()).await;
    let listed = list(&plane).await;
    assert_eq!(listed.len(), 3);
    assert!(
        listed
            .iter()
            .all(|secret| secret.value.is_none() && secret.sealed.is_empty())
    );
    assert!(listed.iter().all(|secret| secret.fingerprint.len() == 16));
    let user = v1::ResourceRef {
        kind: v1::Kind::Rpc.into(),
        id: id(1),
    };
    assert_eq!(listed[0].referrers, [user]);
    assert_eq!(listed[0].meta.as_ref().unwrap().modify_revision, 1);

    let same = set(&plane, "of-rpc", VALUE).await;
    assert_eq!(
        same.version.unwrap().revision,
        1,
        "the same value again changes nothing"
    );
    let changed = set(&plane, "of-rpc", OTHER).await;
    assert_eq!(changed.version.unwrap().revision, 2);
    let listed = list(&plane).await;
    assert_eq!(
        listed[0].fingerprint, listed[1].fingerprint,
        "equal values are told"
    );

    let delete = |name: &str| v1::DeleteSecretRequest {
        name: name.to_owned(),
        ..v1::DeleteSecretRequest::default()
    };
    let refused = secrets(&plane).delete_secret(delete("of-rpc")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(
        refused.message().contains(&format!("is used by rpc/{}", id(1))),
        "{refused}"
    );
    secrets(&plane).delete_secret(delete("unused")).await.unwrap();
    assert_eq!(list(&plane).await.len(), 2);
    plane.stop().await;
}

#[tokio::test]
async fn what_refers_to_no_secret_and_values_that_break_a_rule_are_refused_by_name() {
    let plane = Plane::start().await;
    plane.put(vec![network("eth", 1)]).await;
    let dangling = v1::Rpc {
        url: "https://eth.example/${secret:nowhere}".to_owned(),
        ..rpc(1, "eth")
    };
    let refused = plane.apply(vec![upsert(Wire::Rpc(dangling))]).await.unwrap_err();
    assert!(
        refused.message().contains("url: names secret/nowhere"),
        "{refused}"
    );
    for (value, rule) in [
        (None, "value: must be set"),
        (Some("canary blank"), "visible ASCII"),
        (Some(""), "must be set"),
    ] {
        let resource = Wire::Secret(secret("a", value));
        let refused = plane.apply(vec![upsert(resource)]).await.unwrap_err();
        assert!(refused.message().contains(rule), "{refused}");
        assert!(!refused.message().contains("canary"), "{refused}");
    }
    let sealed = v1::Secret {
        sealed: "made up".into(),
        ..secret("a", None)
    };
    let refused = plane.apply(vec![upsert(Wire::Secret(sealed))]).await.unwrap_err();
    assert!(refused.message().contains("value: must be set"), "{refused}");
    plane.stop().await;
}

#[tokio::test]
async fn no_value_is_in_an_answer_a_page_or_a_file() {
    let plane = Plane::start().await;
    plane.put(users()).await;
    set(&plane, "of-rpc", OTHER).await;
    let mut seen = Vec::new();
    for path in ["secrets", "secrets/of-rpc", "rpcs", "upstreams", "revisions"] {
        seen.push(
            call(&plane, &format!("GET /api/v2/{path}"), Value::Null)
                .await
                .body,
        );
    }
    let diff = v1::DiffRevisionsRequest {
        from_revision: 1,
        ..v1::DiffRevisionsRequest::default()
    };
    let diff = configuration(&plane)
        .diff_revisions(diff)
        .await
        .unwrap()
        .into_inner();
    let fields: Vec<_> = diff.changes[0]
        .fields
        .iter()
        .map(|field| field.path.as_str())
        .collect();
    assert_eq!(fields, ["fingerprint", "value"]);
    seen.push(format!("{diff:?}"));
    let mut export = configuration(&plane)
        .export(v1::ExportRequest::default())
        .await
        .unwrap()
        .into_inner();
    let exported = export.message().await.unwrap().unwrap();
    seen.push(format!("{:?}", prost::Message::encode_to_vec(&exported)));
    seen.push(plane.metrics().await);
    seen.push(get(plane.admin, "/readyz").await);
    for answer in &seen {
        assert!(!answer.contains("canary"), "{answer}");
    }
    assert!(
        seen[2].contains("${secret:of-rpc}"),
        "a reference is no secret: {}",
        seen[2]
    );
    for resource in exported.resources {
        let resource = resource.resource.unwrap();
        assert!(!holds(
            &prost::Message::encode_to_vec(&v1::Resource {
                resource: Some(resource)
            }),
            "canary"
        ));
    }
    let directory = plane.data_dir();
    for (path, bytes) in files(&directory) {
        assert!(!holds(&bytes, "canary"), "{path}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn what_was_exported_can_be_applied_again_and_a_rollback_brings_a_value_back() {
    let plane = Plane::start().await;
    plane.put(users()).await;
    set(&plane, "of-rpc", OTHER).await;
    let mut export = configuration(&plane)
        .export(v1::ExportRequest::default())
        .await
        .unwrap()
        .into_inner();
    let exported = export.message().await.unwrap().unwrap();
    let parts = exported
        .resources
        .into_iter()
        .map(|it| upsert(it.resource.unwrap()));
    assert!(plane.apply(parts.collect()).await.unwrap().unchanged);

    let mut gateway = Follower::synced(&plane.channel, "gw").await;
    let rollback = v1::RollbackRequest {
        revision: 1,
        ..v1::RollbackRequest::default()
    };
    let told = configuration(&plane)
        .rollback(rollback)
        .await
        .unwrap()
        .into_inner();
    assert!(!format!("{told:?}").contains("canary"));
    let update = gateway.follow().await;
    assert_eq!(values(&update), [("of-rpc", Some(VALUE))]);
    plane.stop().await;
}

/// The secrets of an update and the values sent with them.
fn values(update: &Update) -> Vec<(&str, Option<&str>)> {
    let secrets = update.upserts.iter().filter(|row| row.kind() == v1::Kind::Secret);
    secrets
        .map(|row| (row.id.as_str(), row.value.as_deref()))
        .collect()
}

fn hello_of(role: v1::NodeRole) -> v1::Hello {
    let mut hello = hello(role.as_str_name(), "boot");
    if let Some(node) = &mut hello.node {
        node.role = role.into();
    }
    hello
}

/// C61; who needs what is told by roles.
#[tokio::test]
async fn values_go_to_those_who_need_them_and_to_nobody_else() {
    let plane = Plane::start().await;
    plane.put(users()).await;
    let mut followers = Vec::new();
    for (role, expected) in [
        (v1::NodeRole::Gateway, [Some(VALUE), Some(OTHER), None]),
        (v1::NodeRole::Exporter, [Some(VALUE), None, None]),
        (v1::NodeRole::Recommender, [None, None, None]),
        (v1::NodeRole::Unspecified, [None, None, None]),
    ] {
        let (mut follower, _) = Follower::greet(&plane.channel, hello_of(role)).await;
        let update = follower.follow().await;
        let sent: Vec<_> = values(&update).into_iter().map(|(_, value)| value).collect();
        assert_eq!(sent, expected, "{role:?}");
        followers.push(follower);
    }
    let mut gateway = followers.swap_remove(0);

    // Another value is one small message, without the rpc that uses it.
    set(&plane, "of-rpc", OTHER).await;
    let update = gateway.follow().await;
    assert_eq!(
        (update.upserts.len(), values(&update)),
        (1, vec![("of-rpc", Some(OTHER))])
    );

    // A value comes with what begins to need it.
    let mut other = upstream(2, 1, 1.0);
    other
        .headers
        .insert("x-key".to_owned(), "${secret:unused}".to_owned());
    plane.put(vec![Wire::Upstream(other)]).await;
    let update = gateway.follow().await;
    assert_eq!(values(&update), [("unused", Some("canary-unused"))]);
    plane.stop().await;
}

#[tokio::test]
async fn the_data_key_is_rotated_and_values_stay() {
    let plane = Plane::start().await;
    plane.put(users()).await;
    let before: Vec<_> = list(&plane)
        .await
        .into_iter()
        .map(|secret| secret.fingerprint)
        .collect();
    let mut gateway = Follower::synced(&plane.channel, "gw").await;
    let rotated = secrets(&plane)
        .rotate_secret_key(v1::RotateSecretKeyRequest {})
        .await;
    assert_eq!(rotated.unwrap().into_inner().secrets, 3);
    let update = gateway.follow().await;
    let expected = [
        ("of-rpc", Some(VALUE)),
        ("of-upstream", Some(OTHER)),
        ("unused", None),
    ];
    assert_eq!(values(&update), expected);
    let after: Vec<_> = list(&plane)
        .await
        .into_iter()
        .map(|secret| secret.fingerprint)
        .collect();
    assert_eq!(before, after);

    let plane = plane.restart().await;
    let rolled = configuration(&plane)
        .rollback(v1::RollbackRequest {
            revision: 1,
            ..v1::RollbackRequest::default()
        })
        .await;
    rolled.expect("what the earlier key sealed opens still");
    let mut gateway = Follower::connect(&plane.channel, "gw").await.0;
    assert_eq!(values(&gateway.follow().await), expected);
    plane.stop().await;
}

#[tokio::test]
async fn the_master_key_is_replaced_and_without_it_nothing_starts() {
    let plane = Plane::start().await;
    plane.put(users()).await;
    let made = fs::read_to_string(plane.data_dir().join("secrets.key")).unwrap();
    let file = plane.data_dir().join("both.key");
    let new = "5a".repeat(32);
    fs::write(&file, format!("{new}\n{made}")).unwrap();
    let given = file.clone();
    let plane = plane
        .restart_with(|config| config.secrets.secrets_key_file = Some(given))
        .await;
    assert_eq!(list(&plane).await.len(), 3, "it serves");
    fs::write(&file, &new).unwrap();
    let plane = plane
        .restart_with(|config| config.secrets.secrets_key_file = Some(file))
        .await;
    let mut gateway = Follower::connect(&plane.channel, "gw").await.0;
    assert_eq!(values(&gateway.follow().await)[0], ("of-rpc", Some(VALUE)));

    let refused = plane.fails_to_restart(|_| {}).await.to_string();
    assert!(
        refused.contains("--secrets-key-file") && !refused.contains(&new),
        "{refused}"
    );
}

#[tokio::test]
async fn a_lost_master_key_is_told_and_not_made_anew() {
    let plane = Plane::start().await;
    plane.put(users()).await;
    let refused = plane
        .fails_to_restart(|directory| fs::remove_file(directory.join("secrets.key")).unwrap())
        .await;
    assert!(refused.to_string().contains("secrets.key"), "{refused}");
}

#[tokio::test]
async fn secrets_live_under_the_second_version_of_the_http_interface_too() {
    let plane = Plane::start().await;
    let created = call(
        &plane,
        "POST /api/v2/secrets",
        json!({"name": "a", "value": VALUE}),
    )
    .await;
    assert_eq!(created.status, 201, "{}", created.body);
    assert!(!created.body.contains("canary"), "{}", created.body);
    let again = call(
        &plane,
        "POST /api/v2/secrets",
        json!({"name": "a", "value": VALUE}),
    )
    .await;
    assert_eq!(again.status, 409);
    let bad = call(
        &plane,
        "POST /api/v2/secrets",
        json!({"name": "b", "value": "canary blank"}),
    )
    .await;
    assert!(bad.status == 400 && !bad.body.contains("canary"), "{}", bad.body);
    plane.stop().await;
}
