//! `/api/v2`: the services over HTTP and JSON.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::plane::{LIMIT, Plane};

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    /// The status with the error's code and message.
    fn error(&self) -> (u16, String, String) {
        let error = &self.json()["error"];
        let text = |key: &str| error[key].as_str().unwrap().to_owned();
        assert_eq!(error["status"], self.status);
        (self.status, text("code"), text("message"))
    }
}

async fn send(to: SocketAddr, line: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

pub(crate) async fn call(plane: &Plane, line: &str, body: Value) -> Answer {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    send(plane.rest, line, "", &body).await
}

#[tokio::test]
async fn a_resource_lives_its_life() {
    let plane = Plane::start().await;
    let network = json!({"name": "eth", "blockchain": "ethereum", "chain_id": 1});
    let created = call(&plane, "POST /api/v2/networks", network.clone()).await;
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.json()["version"]["revision"], 1);
    assert_eq!(
        call(&plane, "POST /api/v2/networks", network).await.error().1,
        "ALREADY_EXISTS"
    );

    let got = call(&plane, "GET /api/v2/networks/eth", Value::Null).await;
    assert_eq!(got.json()["network"]["chain_id"], 1);
    let etag = got.json()["network"]["meta"]["etag"].as_str().unwrap().to_owned();
    assert!(got.head.contains(&format!("etag: \"{etag}\"")), "{}", got.head);

    let patched = call(
        &plane,
        "PATCH /api/v2/networks/eth",
        json!({"blockchain": "mainnet"}),
    )
    .await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    let network = patched.json()["network"].clone();
    assert_eq!(
        (&network["blockchain"], &network["chain_id"]),
        (&json!("mainnet"), &json!(1))
    );

    let stale = format!("if-match: \"{etag}\"\r\n");
    let refused = send(
        plane.rest,
        "PATCH /api/v2/networks/eth",
        &stale,
        r#"{"blockchain":"x"}"#,
    )
    .await;
    assert_eq!((refused.status, refused.error().1.as_str()), (412, "ABORTED"));
    assert_eq!(
        send(plane.rest, "DELETE /api/v2/networks/eth", &stale, "")
            .await
            .status,
        412
    );

    let listed = call(&plane, "GET /api/v2/networks?page_size=10", Value::Null).await;
    assert_eq!(listed.json()["networks"].as_array().unwrap().len(), 1);
    let deleted = call(&plane, "DELETE /api/v2/networks/eth", Value::Null).await;
    assert_eq!(deleted.json()["deleted"][0]["id"], "eth");
    assert_eq!(
        call(&plane, "GET /api/v2/networks/eth", Value::Null)
            .await
            .error()
            .0,
        404
    );
    plane.stop().await;
}

#[tokio::test]
async fn a_put_makes_and_replaces() {
    let plane = Plane::start().await;
    let put = async |chain_id| {
        let body = json!({"blockchain": "ethereum", "chain_id": chain_id});
        call(&plane, "PUT /api/v2/networks/eth", body).await
    };
    assert_eq!(put(1).await.json()["version"]["revision"], 1);
    assert_eq!(put(5).await.json()["network"]["chain_id"], 5);
    plane.stop().await;
}

#[tokio::test]
async fn every_broken_rule_is_told() {
    let plane = Plane::start().await;
    let bad = json!({"name": "no blanks", "blockchain": "", "chain_id": 0});
    let refused = call(&plane, "POST /api/v2/networks", bad).await;
    assert_eq!(refused.error().0, 400);
    let fields: Vec<Value> = refused.json()["error"]["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| violation["field"].clone())
        .collect();
    assert!(fields.len() >= 2 && fields.contains(&json!("name")), "{fields:?}");
    plane.stop().await;
}

#[tokio::test]
async fn a_document_is_applied_and_nodes_are_listed() {
    let plane = Plane::start().await;
    let document = json!([
        {"header": {"message": "two networks"}},
        {"upsert": {"resource": {"network": {"name": "a", "blockchain": "b", "chain_id": 1}}}},
        {"upsert": {"resource": {"network": {"name": "b", "blockchain": "b", "chain_id": 2}}}},
        {"commit": {"count": 2}},
    ]);
    let applied = call(&plane, "POST /api/v2/apply", document).await;
    assert_eq!(applied.json()["version"]["revision"], 1, "{}", applied.body);
    assert_eq!(applied.json()["changes"].as_array().unwrap().len(), 2);
    let nodes = call(&plane, "GET /api/v2/nodes", Value::Null).await;
    assert_eq!(nodes.json()["nodes"], json!([]));
    plane.stop().await;
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_with_words() {
    let plane = Plane::start().await;
    for (line, body, status, words) in [
        ("GET /api/v2/nothing", "", 404, "/api/v2/nothing"),
        ("DELETE /api/v2/networks", "", 405, "allowed are"),
        ("POST /api/v2/networks", "", 400, "the body is missing"),
        ("POST /api/v2/networks", "null", 400, "network"),
        ("POST /api/v2/networks", "{\"name\":", 400, "the body is no JSON"),
        ("POST /api/v2/networks", "{\"nam\":1}", 400, "nam"),
        (
            "PATCH /api/v2/networks/a",
            "[]",
            400,
            "the body must be an object",
        ),
        ("GET /api/v2/networks?size=1", "", 400, "\"size\" is not known"),
        ("GET /api/v2/networks/%ff", "", 400, "UTF-8"),
    ] {
        let answer = send(plane.rest, line, "", body).await;
        let (told, _, message) = answer.error();
        assert_eq!(told, status, "{line} {message}");
        assert!(message.contains(words), "{line}: {message}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn the_document_and_the_first_version_are_served_beside_it() {
    let plane = Plane::start().await;
    let document = call(&plane, "GET /api/v2/openapi.json", Value::Null).await;
    assert!(document.json()["paths"]["/api/v2/routes/{id}"]["patch"].is_object());
    let v1 = call(&plane, "GET /api/v1/networks", Value::Null).await;
    assert_eq!(v1.json()["code"], 0);
    plane.stop().await;
}
