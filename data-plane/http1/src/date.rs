//! The `Date` field. Source: RFC 9110, section 6.6.1.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What `Date` says, with the second it is for.
type Dated = (u64, [u8; LENGTH]);

const LENGTH: usize = 29;

thread_local! {
    static LAST: Cell<Dated> = const { Cell::new((u64::MAX, [b' '; LENGTH])) };
}

/// The present as an HTTP date, written anew once in a second.
pub(crate) fn now() -> [u8; LENGTH] {
    let second = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    LAST.with(|last| {
        let (of, text) = last.get();
        if of == second {
            return text;
        }
        let text = format(second);
        last.set((second, text));
        text
    })
}

fn format(second: u64) -> [u8; LENGTH] {
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
    <[u8; LENGTH]>::try_from(text.as_bytes()).unwrap_or([b' '; LENGTH])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_written_as_the_standard_says() {
        assert_eq!(&format(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
