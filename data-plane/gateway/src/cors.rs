//! Pages of other origins: what a browser is told about them. Source: the Fetch standard, "CORS protocol".

use bytes::Bytes;
use http::{HeaderName, Method};
use tyrscale_http1::{Fields, Name};
use tyrscale_model::{AllowedOrigin, Cors};

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const ALLOW_HEADERS: &str = "access-control-allow-headers";
const ALLOW_METHODS: &str = "access-control-allow-methods";
const EXPOSE_HEADERS: &str = "access-control-expose-headers";
const MAX_AGE: &str = "access-control-max-age";

/// Fields of an answer.
pub(crate) type Said = Vec<(&'static str, Bytes)>;

/// A route's policy, its headers written out.
#[derive(Debug, Clone)]
pub(crate) struct CorsPolicy {
    rule: Cors,
    /// Whether every origin gets the same answer.
    any_origin: bool,
    allowed_headers: Bytes,
    exposed_headers: Option<Bytes>,
    max_age: Option<Bytes>,
}

impl CorsPolicy {
    pub(crate) fn new(rule: &Cors) -> Self {
        let is_any = rule.allowed_headers.iter().any(|name| name == "*");
        // The wildcard does not stand for `Authorization`.
        let implied = if is_any { "authorization" } else { "content-type" };
        let allowed = [implied].into_iter().chain(names(&rule.allowed_headers));
        let exposed = Some(&rule.exposed_headers).filter(|exposed| !exposed.is_empty());
        Self {
            any_origin: !rule.allow_credentials && rule.allowed_origins.contains(&AllowedOrigin::Any),
            allowed_headers: list(allowed),
            exposed_headers: exposed.map(|exposed| list(names(exposed))),
            max_age: (rule.max_age_s > 0).then(|| rule.max_age_s.to_string().into()),
            rule: rule.clone(),
        }
    }

    /// What a preflight is answered with, for a request that is one. A page that may not call gets no leave.
    pub(crate) fn preflight(&self, method: &Method, request: &Fields) -> Option<Said> {
        let asks = request.known(Name::Origin).is_some()
            && request.known(Name::AccessControlRequestMethod).is_some();
        if method != Method::OPTIONS || !asks {
            return None;
        }
        let (is_admitted, mut said) = self.admit(request);
        if is_admitted {
            // JSON-RPC is posted.
            said.push((ALLOW_METHODS, Bytes::from_static(b"POST")));
            said.push((ALLOW_HEADERS, self.allowed_headers.clone()));
            said.extend(self.max_age.clone().map(|max_age| (MAX_AGE, max_age)));
        }
        Some(said)
    }

    /// What the answer to any other request says about who may read it.
    pub(crate) fn answer(&self, request: &Fields) -> Said {
        let (is_admitted, mut said) = self.admit(request);
        if is_admitted {
            let exposed = self.exposed_headers.clone();
            said.extend(exposed.map(|exposed| (EXPOSE_HEADERS, exposed)));
        }
        said
    }

    /// Whether the page may call, and what says so.
    fn admit(&self, request: &Fields) -> (bool, Said) {
        let mut said = Said::new();
        if !self.any_origin {
            said.push(("vary", Bytes::from_static(b"origin")));
        }
        let mut origins = request.all_known(Name::Origin);
        let origin = origins.next().filter(|_| origins.next().is_none());
        let origin = origin.and_then(|origin| std::str::from_utf8(origin).ok());
        let Some(origin) = origin.filter(|origin| self.rule.allows(origin)) else {
            return (false, said);
        };
        let allowed = if self.any_origin { "*" } else { origin };
        said.push((ALLOW_ORIGIN, Bytes::copy_from_slice(allowed.as_bytes())));
        if self.rule.allow_credentials {
            said.push((ALLOW_CREDENTIALS, Bytes::from_static(b"true")));
        }
        (true, said)
    }
}

/// Whether a field of an upstream's answer is about CORS, which is not its to say on a route that has a policy.
pub(crate) fn is_about(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"access-control-";
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn names(names: &[HeaderName]) -> impl Iterator<Item = &str> {
    names.iter().map(HeaderName::as_str)
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> Bytes {
    names.collect::<Vec<_>>().join(", ").into()
}

#[cfg(test)]
mod tests;
