//! Errors without an envelope.

use super::{RpcError, message};
use crate::scan::Scanner;

/// What a whole JSON object without `result` and `error` says, if it has a message or a code: gateways of vendors
/// answer so.
pub(crate) fn bare_error(body: &[u8]) -> Option<RpcError> {
    let text = std::str::from_utf8(body).ok()?;
    let mut scanner = Scanner::new(text, usize::MAX);
    let mut error = RpcError {
        detail: message(text.trim()),
        ..RpcError::default()
    };
    let mut is_error = false;
    let mut member_follows = scanner.token().ok()? == b'{' && scanner.enter().ok()?;
    while member_follows {
        let key = scanner.key().ok()?;
        let value = scanner.value().ok()?;
        match key.as_ref() {
            "code" | "statusCode" | "status" if error.code.is_none() => {
                error.code = value.trim_matches('"').parse().ok();
            }
            "message" => error.message = message(value),
            _ => {
                member_follows = scanner.more().ok()?;
                continue;
            }
        }
        is_error = true;
        member_follows = scanner.more().ok()?;
    }
    (is_error && scanner.end().is_ok()).then_some(error)
}
