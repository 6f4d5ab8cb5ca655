//! Heads of messages, from one version of HTTP to the other.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri, response};
use tyrscale_http1::{Fields, ResponseHead, Version};

/// The request of HTTP/2 that `head`, as HTTP/1.1 writes it, stands for. Sources: RFC 9112, section 2; RFC 9113,
/// section 8.3.1.
pub(crate) fn request(head: &[u8], scheme: Scheme) -> Option<Request<()>> {
    let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let mut words = lines.next()?.split(|&byte| byte == b' ');
    let method = Method::from_bytes(words.next()?).ok()?;
    let target = PathAndQuery::try_from(words.next()?).ok()?;
    let mut request = Request::new(());
    let mut host: Option<Authority> = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
        let name = HeaderName::from_bytes(name).ok()?;
        let value = value.strip_prefix(b":")?.trim_ascii();
        match name.as_str() {
            "host" => host = Some(Authority::try_from(value).ok()?),
            "connection" | "transfer-encoding" | "keep-alive" => {}
            _ => {
                let value = HeaderValue::from_bytes(value).ok()?;
                request.headers_mut().append(name, value);
            }
        }
    }
    *request.method_mut() = method;
    *request.uri_mut() = Uri::builder()
        .scheme(scheme)
        .authority(host?)
        .path_and_query(target)
        .build()
        .ok()?;
    Some(request)
}

/// The head of an answer of HTTP/2 as one of HTTP/1.1; `None` when it has what cannot stand there.
pub(crate) fn response(head: &response::Parts) -> Option<ResponseHead> {
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
    Some(ResponseHead {
        status: head.status,
        version: Version::Http11,
        fields: Fields::from_pairs(fields).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use tyrscale_http1::{Field, Target, request_head};

    use super::*;

    #[test]
    fn a_request_keeps_what_it_says() {
        let target = Target::new("/v3/key?a=1&b=2").unwrap();
        let fields = [
            Field::new("X-Kept", b"one: two"),
            Field::new("x-kept", b"\xe9"),
            Field::new("content-type", b"application/json"),
        ];
        let head = request_head(&Method::POST, &target, "n.example:8443", fields, 12).unwrap();
        let request = request(&head, Scheme::HTTPS).unwrap();
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri(), "https://n.example:8443/v3/key?a=1&b=2");
        let kept: Vec<_> = request.headers().get_all("x-kept").iter().collect();
        assert_eq!(kept, [b"one: two".as_slice(), b"\xe9"]);
        assert_eq!(request.headers()["content-length"], "12");
        assert!(!request.headers().contains_key("host") && !request.headers().contains_key("connection"));
    }

    #[test]
    fn what_is_no_head_makes_no_request() {
        for bad in [
            "",
            "POST",
            "POST /",
            "POST / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nhost\r\n\r\n",
        ] {
            assert!(request(bad.as_bytes(), Scheme::HTTP).is_none(), "{bad}");
        }
    }
}
