//! REST asks who calls just as gRPC does.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tyrscale_client::ClientTls;
use tyrscale_proto::v1::{self, AccessRole};

use crate::{guarded::Guarded, plane::LIMIT};

/// Sends a request over TLS; gives the status and the whole answer.
async fn send(plane: &Guarded, method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
    let stream = TcpStream::connect(plane.rest).await.unwrap();
    let tls = ClientTls {
        ca: Some(plane.authority.file()),
        pair: None,
    };
    let mut stream = tls.connect("localhost", &[b"http/1.1"], stream).await.unwrap();
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        authorization.unwrap_or_default(),
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The other end may leave without a farewell.
    timeout(LIMIT, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .ok();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

/// A body is announced and never sent: who may not call is told at once.
#[tokio::test]
async fn strangers_are_refused_before_their_body_is_read() {
    let plane = Guarded::start().await;
    let stream = TcpStream::connect(plane.rest).await.unwrap();
    let tls = ClientTls {
        ca: Some(plane.authority.file()),
        pair: None,
    };
    let mut stream = tls.connect("localhost", &[b"http/1.1"], stream).await.unwrap();
    let head = "POST /api/v2/networks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 67108864\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    timeout(LIMIT, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    let (status, answer) = send(&plane, "POST", "/api/v2/networks", Some(&plane.admin_token), "[").await;
    assert_eq!(status, 400, "{answer}");
    plane.stop().await;
}

#[tokio::test]
async fn routes_need_the_roles_of_the_table() {
    let plane = Guarded::start().await;
    let body = r#"{"name":"eth","blockchain":"evm","chain_id":1}"#;
    let create = |token: Option<String>| {
        let plane = &plane;
        async move { send(plane, "POST", "/api/v1/networks", token.as_deref(), body).await }
    };
    let text = async |role: AccessRole| {
        let request = v1::CreateTokenRequest {
            subject: role.as_str_name().to_owned(),
            role: role.into(),
            ..v1::CreateTokenRequest::default()
        };
        let made = plane.admin().await.access().create_token(request).await;
        made.unwrap().into_inner().text
    };
    let (viewer, editor) = (text(AccessRole::Viewer).await, text(AccessRole::Editor).await);
    let (status, answer) = create(None).await;
    assert_eq!(status, 401);
    assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
    assert!(answer.contains(r#""status":401"#), "{answer}");
    assert_eq!(create(Some(viewer.clone())).await.0, 403);
    assert_eq!(create(Some(editor)).await.0, 201);
    let (status, answer) = send(&plane, "GET", "/API/v1/networks/", Some(&viewer), "").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(send(&plane, "GET", "/api/v1/networks", None, "").await.0, 401);
    assert_eq!(send(&plane, "HEAD", "/api/v1/networks", None, "").await.0, 401);
    for open in ["/liveness", "/readiness"] {
        assert_eq!(send(&plane, "GET", open, None, "").await.0, 200, "{open}");
    }
    let records = plane.audit().await;
    let created = records
        .iter()
        .find(|record| record.method == "POST /api/v1/networks" && record.revision == 1);
    assert_eq!(created.unwrap().outcome(), v1::AuditOutcome::Done);
    plane.stop().await;
}
