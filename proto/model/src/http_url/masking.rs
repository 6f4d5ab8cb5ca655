//! What of a URL is shown. References to secrets are: they hold no secret themselves.

use super::MASK;
use crate::secret::reference;

/// Masks the segments of a path that look like keys: 20 or more characters of base64url with a digit.
pub(crate) fn mask_path(path: &str) -> String {
    let is_key = |segment: &str| {
        let segment = reference::without(segment);
        let alphabet =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=' | b'.' | b'%');
        segment.len() >= 20 && segment.bytes().all(alphabet) && segment.bytes().any(|b| b.is_ascii_digit())
    };
    let segments = path
        .split('/')
        .map(|segment| if is_key(segment) { MASK } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// Masks every value of a query that starts with `?`; a query without names is masked whole.
pub(crate) fn mask_query(query: &str) -> String {
    let Some(query) = query.strip_prefix('?') else {
        return String::new();
    };
    let masked = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{name}={}", masked(value)),
        None => masked(pair).to_owned(),
    });
    format!("?{}", masked.collect::<Vec<_>>().join("&"))
}

/// Masks user information, unless user and password both are references.
pub(crate) fn mask_user_info(text: &str) -> &str {
    let is_open = reference::is_in(text) && matches!(reference::without(text).as_str(), "" | ":");
    if is_open { text } else { MASK }
}

/// The mask, unless there is nothing to hide but references.
fn masked(text: &str) -> &str {
    if reference::without(text).is_empty() {
        text
    } else {
        MASK
    }
}
