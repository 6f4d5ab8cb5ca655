//! Messages near the edge: mostly well-formed, some with a flaw, some changed in one byte.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The bytes of one or several requests, one behind the other.
pub(crate) fn requests() -> impl Strategy<Value = Bytes> {
    let some = prop::collection::vec(request(), 1..4).prop_map(|requests| requests.concat());
    mutated(some)
}

/// The bytes of an answer, perhaps with interim ones before it and something behind it.
pub(crate) fn answers() -> impl Strategy<Value = Bytes> {
    let interim = select(vec![
        "",
        "",
        "",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n",
    ]);
    let behind = select(vec!["", "", "", "x", "HTTP/1.1 200 OK\r\n\r\n"]);
    mutated((interim, answer(), behind).prop_map(|parts| {
        let (interim, answer, behind) = parts;
        [interim.as_bytes(), &answer, behind.as_bytes()].concat()
    }))
}

/// The same bytes in pieces.
pub(crate) fn cut(bytes: &Bytes, cuts: &[Index]) -> Vec<Bytes> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| bytes.slice(ends[0]..ends[1])).collect()
}

/// Most stay as they are, some differ in one place.
fn mutated(messages: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Bytes> {
    let bytes = select(b"\r\n\t \0:;,0159afx/\"\\\x7f\x80\xff".to_vec());
    (messages, any::<Index>(), bytes, 0..6u8).prop_map(|(mut message, place, byte, kind)| {
        let place = place.index(message.len());
        match kind {
            0 => message[place] = byte,
            1 => message.insert(place, byte),
            2 => drop(message.remove(place)),
            _ => {}
        }
        Bytes::from(message)
    })
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = select(vec![
        "GET", "POST", "POST", "POST", "HEAD", "OPTIONS", "PURGE", "CONNECT", "get",
    ]);
    let target = select(vec![
        "/",
        "/eth?x=1&y={z}",
        "/a%20b",
        "*",
        "http://a/b?c",
        "http://a:80",
        "HTTPS://a?b",
        "a:443",
        "a",
        "//a//b",
        "/a[1]",
        "/?",
        "/a;b=c@d",
    ]);
    let version = select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    let host = select(vec![
        "Host: node.test\r\n",
        "Host: node.test\r\n",
        "host:a:8545 \r\n",
        "",
    ]);
    (method, target, version, host, fields(), body()).prop_map(
        |(method, target, version, host, fields, body)| {
            let (framing, body) = body;
            let head = format!("{method} {target} {version}\r\n{host}{fields}{framing}\r\n");
            [head.as_bytes(), &body].concat()
        },
    )
}

fn answer() -> impl Strategy<Value = Vec<u8>> {
    let line = select(vec![
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200",
        "HTTP/1.1 429 Too Many Requests",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 599 \u{e9}",
        "HTTP/1.1 999 ",
    ]);
    (line, fields(), body()).prop_map(|(line, fields, body)| {
        let (framing, body) = body;
        [format!("{line}\r\n{fields}{framing}\r\n").as_bytes(), &body].concat()
    })
}

fn fields() -> impl Strategy<Value = String> {
    let field = select(vec![
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "connection: x, Close\r\n",
        "Connection: close, keep-alive\r\n",
        "X-A: 1\r\n",
        "x-a:  two words \t\r\n",
        "X-Empty:\r\n",
        "X-Text: \u{e9}\r\n",
        "Accept: */*\r\n",
        "Upgrade: h2c\r\n",
        "Expect: 100-continue\r\n",
        "TE: trailers\r\n",
        "Content-Type: application/json\r\n",
        "X-Tab: a\tb\r\n",
        "X-Tight:v\r\n",
        "Content-Length: 0\r\n",
        "Trailer: X\r\n",
        "X-Fold: a\r\n b\r\n",
    ]);
    prop::collection::vec(field, 0..5).prop_map(|fields| fields.concat())
}

/// The fields that say how the body ends, and the body.
fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let bytes = prop::collection::vec(select(b"{}[]\"x1\r\n0 ".to_vec()), 0..40);
    (bytes, select(framings()), chunks()).prop_map(|(bytes, framing, chunks)| {
        if framing.contains("hunked") {
            (framing.to_owned(), chunks)
        } else {
            (framing.replace("LENGTH", &bytes.len().to_string()), bytes)
        }
    })
}

fn framings() -> Vec<&'static str> {
    vec![
        "",
        "Content-Length: LENGTH\r\n",
        "Content-Length: LENGTH\r\n",
        "content-length:LENGTH\r\n",
        "Content-Length: 0LENGTH\r\n",
        "Content-Length: LENGTH\r\nContent-Length: LENGTH\r\n",
        "Content-Length: LENGTH, LENGTH\r\n",
        "Content-Length: +LENGTH\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding:CHUNKED\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
    ]
}

fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let size = select(vec![
        "S",
        "S",
        "S",
        "00S",
        "S;a=b",
        "S ;a",
        "S;a=\"b\"",
        "S\t",
        "0xS",
        "S \r",
    ]);
    let data = prop::collection::vec(select(b"{}x1\r\n0".to_vec()), 1..20);
    let end = select(vec![
        "0\r\n\r\n",
        "0\r\n\r\n",
        "000\r\n\r\n",
        "0;x\r\n\r\n",
        "0\r\nX: 1\r\n\r\n",
        "0\r\nX : 1\r\n\r\n",
        "0\r\nX: 1\n\r\n",
    ]);
    (prop::collection::vec((size, data), 0..4), end).prop_map(|(chunks, end)| {
        let mut body = Vec::new();
        for (size, data) in chunks {
            let size = size.replace('S', &format!("{:x}", data.len()));
            body.extend([size.as_bytes(), b"\r\n", &data, b"\r\n"].concat());
        }
        body.extend_from_slice(end.as_bytes());
        body
    })
}
