//! What is refused, on both sides, and what is not.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::harness::{End, ask, serve};

/// How many requests were taken before the end, and the end.
fn outcome(request: &str) -> (usize, End) {
    let (requests, end) = serve([Bytes::copy_from_slice(request.as_bytes())]);
    (requests.len(), end)
}

fn refused(status: u16) -> (usize, End) {
    (0, End::Refused(StatusCode::from_u16(status).unwrap()))
}

fn with_fields(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n")
}

#[test]
fn a_length_that_can_be_read_in_two_ways_is_refused() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5;\r\n",
        "Content-Length: \"5\"\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: 5e0\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551621\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\ncONTENT-lENGTH: 0\r\n",
    ] {
        assert_eq!(outcome(&with_fields(fields)), refused(400), "{fields}");
    }
}

#[test]
fn a_transfer_encoding_other_than_chunked_is_refused() {
    for value in [
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "chunked, identity",
        "chunked,",
        ",chunked",
        "identity",
        "xchunked",
        "chunkedx",
        "x chunked",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "chunked\u{b}",
        "chunked\0",
        "ch\u{131}nked",
        "",
    ] {
        let (taken, end) = outcome(&with_fields(&format!("Transfer-Encoding: {value}\r\n")));
        assert_eq!(taken, 0, "{value:?}");
        assert!(
            matches!(end, End::Refused(status) if matches!(status.as_u16(), 400 | 501)),
            "{value:?}"
        );
    }
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(outcome(&with_fields(twice)), refused(501));
    let hidden = "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n";
    assert_eq!(outcome(&with_fields(hidden)), refused(501));
}

#[test]
fn names_and_lines_that_some_read_otherwise_are_refused() {
    for fields in [
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        "Transfer-Encoding: chun\r\n ked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding\r\n: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: a\nTransfer-Encoding: chunked\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
        "X: a\r\rTransfer-Encoding: chunked\r\n",
        "X: a\0\r\nTransfer-Encoding: chunked\r\n",
        "X: a\r\n\rTransfer-Encoding: chunked\r\n",
        "X\0: a\r\n",
        ": a\r\n",
        "no colon\r\n",
        "Transfer\u{e9}: chunked\r\n",
        "X: \u{7f}\r\n",
        "(comment): a\r\n",
    ] {
        assert_eq!(outcome(&with_fields(fields)), refused(400), "{fields:?}");
    }
}

#[test]
fn request_lines_are_strict() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /",
        "GET",
        "G\u{e9}T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /a\\b HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET a HTTP/1.1",
        "GET * HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET http://u@a/ HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "CONNECT a HTTP/1.1",
        "\nGET / HTTP/1.1",
        "\r\n\r\n\r\nGET / HTTP/1.1",
        "\rGET / HTTP/1.1",
        "GET / http/1.1",
    ] {
        let (taken, end) = outcome(&format!("{line}\r\nHost: a\r\n\r\n"));
        assert_eq!(taken, 0, "{line:?}");
        assert!(
            matches!(end, End::Refused(status) if matches!(status.as_u16(), 400 | 505)),
            "{line:?} {end:?}"
        );
    }
    assert_eq!(outcome("GET / HTTP/1.1\nHost: a\n\n"), refused(400));
    assert_eq!(outcome("GET / HTTP/1.1\r\nHost: a\r\n\n"), refused(400));
    assert_eq!(outcome("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), refused(505));
    assert_eq!(outcome("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), refused(505));
}

#[test]
fn a_request_names_its_host_once() {
    for fields in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a,b\r\n",
        "Host: a/b\r\n",
        "Host: u@a\r\n",
    ] {
        assert_eq!(
            outcome(&format!("GET / HTTP/1.1\r\n{fields}\r\n")),
            refused(400),
            "{fields:?}"
        );
    }
    for head in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    ] {
        assert_eq!(outcome(head), (1, End::Closed), "{head:?}");
    }
}

#[test]
fn chunks_are_strict() {
    for body in [
        "5 5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";a\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "4\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nx y: 1\r\n\r\n",
        "5\r\nhello\r\n0\r\n x: 1\r\n\r\n",
        "5\r\nhello\r\n0\r\nx: 1\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\n\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_eq!(outcome(&request), refused(400), "{body:?}");
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert!(ask(&Method::POST, [Bytes::from(answer)]).is_err(), "{body:?}");
    }
}

#[test]
fn what_chunks_may_have_beside_them_is_read_and_dropped() {
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "005\r\nhello\r\n000\r\n\r\n",
        "5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n",
        "5 ;a\r\nhello\r\n0\r\n\r\n",
        "1\r\nh\r\n4\r\nello\r\n0\r\nX-Sum: 1\r\nY: \r\n\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n{body}");
        let (requests, end) = serve([Bytes::from(request)]);
        assert_eq!((requests.len(), end), (1, End::Closed), "{body:?}");
        assert_eq!(requests[0].body, "hello");
    }
}

#[test]
fn limits_hold_for_heads_chunk_extensions_and_trailers() {
    let long = "x".repeat(40_000);
    assert_eq!(
        outcome(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")),
        refused(431)
    );
    let many = "X: 1\r\n".repeat(101);
    assert_eq!(
        outcome(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")),
        refused(431)
    );
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        outcome(&format!("{chunked}5;{long}\r\nhello\r\n0\r\n\r\n")),
        refused(400)
    );
    let extended = format!("1;{}\r\nx\r\n", "y".repeat(400)).repeat(60);
    assert_eq!(outcome(&format!("{chunked}{extended}0\r\n\r\n")), refused(400));
    assert_eq!(outcome(&format!("{chunked}0\r\nX: {long}\r\n\r\n")), refused(400));
    assert_eq!(
        outcome(&format!("{chunked}2711\r\n{}\r\n0\r\n\r\n", "x".repeat(10_001))),
        refused(413)
    );
    let large = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10001\r\n\r\n{long}");
    assert_eq!(outcome(&large), refused(413));
}

#[test]
fn old_requests_have_no_chunks_and_unknown_expectations_are_refused() {
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(outcome(old), refused(400));
    assert_eq!(
        outcome("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n"),
        refused(417)
    );
}

fn answered(answer: &str) -> Option<(Vec<u8>, bool)> {
    let answer = ask(&Method::POST, [Bytes::copy_from_slice(answer.as_bytes())]).ok()?;
    Some((answer.body, answer.reusable))
}

#[test]
fn answers_whose_length_is_in_doubt_are_refused() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length : 5\r\n",
        "X: a\nContent-Length: 5\r\n",
        "X:\r\n folded\r\nContent-Length: 5\r\n",
    ] {
        assert_eq!(
            answered(&format!("HTTP/1.1 200 OK\r\n{fields}\r\nhello")),
            None,
            "{fields:?}"
        );
    }
    assert_eq!(
        answered("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        None
    );
    assert_eq!(answered("HTTP/1.1 101 Switching Protocols\r\n\r\n"), None);
    assert_eq!(answered("HTTP/1.1 99 Low\r\n\r\n"), None);
    assert_eq!(answered("\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), None);
    assert_eq!(
        answered("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello"),
        None
    );
    assert_eq!(answered(&"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(9)), None);
}

#[test]
fn a_connection_is_used_again_only_when_the_end_of_the_answer_is_beyond_doubt() {
    for (answer, body, reusable) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true),
        ("HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello", "hello", true),
        ("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", "hello", true),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!",
            "hello",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello",
            "hello",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "hello",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1",
            "",
            false,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello", "hello", false),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "hello",
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
            "hello",
            true,
        ),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "", true),
        ("HTTP/1.1 204 No Content\r\n\r\nhello", "", false),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", true),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "ok",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nExpect: tea\r\nHost: a b\r\nContent-Length: 0\r\n\r\n",
            "",
            true,
        ),
    ] {
        assert_eq!(
            answered(answer),
            Some((body.as_bytes().to_vec(), reusable)),
            "{answer:?}"
        );
    }
    let to_head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let answer = ask(&Method::HEAD, [Bytes::from(to_head)]).unwrap();
    assert!(answer.body.is_empty() && answer.reusable);
}
