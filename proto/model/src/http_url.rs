//! An http or https URL that may hold a key: its text is shown masked unless asked for by name.

mod masking;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, str::FromStr};

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{Name, SecretValue, Snapshot, Violation, ViolationCode, secret::reference};

pub(crate) use masking::{mask_path, mask_query, mask_user_info};

/// What stands for a secret in a masked text.
pub(crate) const MASK: &str = "***";

/// The protocol of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port used when none is given.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl FromStr for Scheme {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        match text.to_ascii_lowercase().as_str() {
            "http" => Ok(Self::Http),
            "https" => Ok(Self::Https),
            _ => Err(Violation::new(
                "scheme",
                ViolationCode::Invalid,
                "must be http or https",
            )),
        }
    }
}

/// A URL of a JSON-RPC endpoint (RFC 3986, without fragment). User info, path and query may refer to secrets.
///
/// `Debug` and `Display` mask user info, query values and path segments that look like keys.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    text: String,
    scheme: Scheme,
    user_info: Option<String>,
    host: String,
    port: u16,
    path: String,
    query: Option<String>,
}

impl HttpUrl {
    /// The longest URL, in bytes.
    pub const MAX: usize = 4096;

    /// The URL as it was given, secrets included.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The protocol.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case; an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, given or by default.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path, at least `/`, secrets included.
    #[must_use]
    pub fn expose_path(&self) -> &str {
        &self.path
    }

    /// The query without `?`, secrets included.
    #[must_use]
    pub fn expose_query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// `user:password` with percent-encoding undone, when the URL has one.
    #[must_use]
    pub fn expose_user_info(&self) -> Option<String> {
        self.user_info
            .as_deref()
            .map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned())
    }

    /// `scheme://host:port`: says where, holds no secret.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }

    /// The URL with every secret as `***`.
    #[must_use]
    pub fn masked(&self) -> String {
        let query_start = self.text.find('?').unwrap_or(self.text.len());
        let (before_query, query) = self.text.split_at(query_start);
        let (scheme, rest) = before_query.split_once("://").unwrap_or(("", before_query));
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let authority = match authority.rsplit_once('@') {
            Some((user_info, host)) => format!("{}@{host}", mask_user_info(user_info)),
            None => authority.to_owned(),
        };
        format!("{scheme}://{authority}{}{}", mask_path(path), mask_query(query))
    }

    /// Whether this is a text that [`HttpUrl::masked`] made rather than a URL.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.text.contains(MASK)
    }

    /// The secrets it refers to.
    pub fn secrets(&self) -> impl Iterator<Item = Name> {
        reference::names(&self.text)
    }

    /// The URL with the values of the secrets it refers to, which cannot leave the part of the URL they stand in.
    ///
    /// # Errors
    /// A [`Violation`] naming the secret whose value is not there, or when one makes `.` or `..` of a segment of the path.
    pub fn filled(&self, snapshot: &Snapshot) -> Result<Self, Violation> {
        if !reference::is_in(&self.text) {
            return Ok(self.clone());
        }
        let fill = |text: &str| {
            let value = |name: &Name| reference::value_of(snapshot, name).map(encoded);
            reference::replaced(text, value)
        };
        let fill_part = |part: &Option<String>| part.as_deref().map(fill).transpose();
        let filled = || {
            let path = fill(&self.path)?;
            check_segments(&self.path, &path)?;
            Ok(Self {
                text: fill(&self.text)?,
                user_info: fill_part(&self.user_info)?,
                path,
                query: fill_part(&self.query)?,
                scheme: self.scheme,
                host: self.host.clone(),
                port: self.port,
            })
        };
        filled().map_err(|violation: Violation| Violation {
            field: "url".to_owned(),
            ..violation
        })
    }

    /// The form in which two URLs of one endpoint are equal: scheme and host in lower case, the default port
    /// and trailing slashes left out.
    #[must_use]
    pub fn normalized(&self) -> String {
        let user_info = self
            .user_info
            .as_deref()
            .map(|text| format!("{text}@"))
            .unwrap_or_default();
        let query = self
            .query
            .as_deref()
            .map(|text| format!("?{text}"))
            .unwrap_or_default();
        let path = self.path.trim_end_matches('/');
        format!(
            "{}://{user_info}{}:{}{path}{query}",
            self.scheme.as_str(),
            self.host,
            self.port
        )
    }
}

/// What may stand for itself anywhere in a URL. Source: RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn encoded(value: &SecretValue) -> Cow<'_, str> {
    utf8_percent_encode(value.expose(), RESERVED).into()
}

/// Whether no secret makes a segment that leads elsewhere. Source: RFC 3986, section 5.2.4.
///
/// # Errors
/// A violation of no field.
fn check_segments(template: &str, filled: &str) -> Result<(), Violation> {
    // Values hold no slash once they are encoded, so the segments are as many as before.
    for (template, filled) in template.split('/').zip(filled.split('/')) {
        let decoded: Cow<'_, [u8]> = percent_decode_str(filled).into();
        if reference::is_in(template) && matches!(&*decoded, b"." | b"..") {
            let message = "refers to a secret whose value makes a segment of the path \".\" or \"..\"";
            return Err(Violation::new("", ViolationCode::Invalid, message));
        }
    }
    Ok(())
}

/// What stands for references while a URL is taken apart: a word that the text does not hold. No end of it is a
/// beginning of it, so it is found where it was put and nowhere else.
struct Holes {
    word: String,
    /// What it stands for, in the order of the text.
    references: std::vec::IntoIter<Name>,
}

impl Holes {
    fn of(text: &str) -> Self {
        let mut word = "qz".to_owned();
        while text.contains(&word) {
            word.push('z');
        }
        let references: Vec<Name> = reference::names(text).collect();
        Self {
            word,
            references: references.into_iter(),
        }
    }

    fn punched<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, Violation> {
        if !reference::is_in(text) {
            return Ok(text.into());
        }
        reference::replaced(text, |_| Ok(self.word.as_str().into())).map(Cow::Owned)
    }

    fn is_in(&self, part: &str) -> bool {
        part.contains(&self.word)
    }

    /// The next part of the text, with the references that were in it.
    fn filled(&mut self, part: &str) -> String {
        let mut whole = String::with_capacity(part.len());
        for (place, text) in part.split(&self.word).enumerate() {
            if place > 0
                && let Some(name) = self.references.next()
            {
                whole.push_str(&reference::written(&name));
            }
            whole.push_str(text);
        }
        whole
    }
}

impl FromStr for HttpUrl {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let invalid = |message: &str| Violation::new("url", ViolationCode::Invalid, message);
        if text.is_empty() {
            return Err(Violation::new("url", ViolationCode::Required, "must be set"));
        }
        if text.len() > Self::MAX {
            return Err(Violation::new(
                "url",
                ViolationCode::OutOfRange,
                "must have at most 4096 bytes",
            ));
        }
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        reference::check(text).map_err(|violation| invalid(&violation.message))?;
        let mut holes = Holes::of(text);
        let uri: Uri = holes
            .punched(text)?
            .parse()
            .map_err(|_| invalid("must be an http or https URL"))?;
        let scheme: Scheme = uri
            .scheme_str()
            .unwrap_or_default()
            .parse()
            .map_err(|_| invalid("must be an http or https URL"))?;
        let authority = uri.authority().ok_or_else(|| invalid("must have a host"))?;
        if authority.host().is_empty() {
            return Err(invalid("must have a host"));
        }
        if holes.is_in(authority.host()) {
            return Err(invalid("must not refer to a secret in its host"));
        }
        let (user_info, address) = match authority.as_str().rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info.to_owned()), address),
            None => (None, authority.as_str()),
        };
        let port = match address.strip_prefix(authority.host()) {
            None | Some("") => scheme.default_port(),
            Some(port) => {
                parse_port(port.trim_start_matches(':')).map_err(|violation| invalid(&violation.message))?
            }
        };
        Ok(Self {
            text: text.to_owned(),
            scheme,
            user_info: user_info.map(|text| holes.filled(&text)),
            host: authority.host().to_ascii_lowercase(),
            port,
            path: if uri.path().is_empty() {
                "/".to_owned()
            } else {
                holes.filled(uri.path())
            },
            query: uri.query().map(|text| holes.filled(text)),
        })
    }
}

/// Reads a TCP port, 1 to 65535.
pub(crate) fn parse_port(text: &str) -> Result<u16, Violation> {
    let violation = || Violation::new("port", ViolationCode::OutOfRange, "port must be 1 to 65535");
    match text.parse() {
        Ok(0) | Err(_) => Err(violation()),
        Ok(port) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        Ok(_) => Err(violation()),
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({})", self.masked())
    }
}
