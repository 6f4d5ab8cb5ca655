//! The names of header fields that a proxy acts on, told apart once when a head is read.

/// Makes the names from their lengths and how they are written in lower case.
macro_rules! names {
    ($($length:literal { $($name:ident $text:literal)+ })+) => {
        /// A well-known name, whatever the case it came in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Name {
            /// None of the others.
            Other,
            $($(#[doc = stringify!($text)] $name,)+)+
        }

        impl Name {
            /// Which name `text` is.
            #[must_use]
            pub fn of(text: &[u8]) -> Self {
                match text.len() {
                    $($length => first::<$length>(&[$(($text, Self::$name)),+], text),)+
                    _ => Self::Other,
                }
            }

            /// In lower case; empty for [`Name::Other`].
            #[must_use]
            pub const fn as_bytes(self) -> &'static [u8] {
                match self {
                    Self::Other => b"",
                    $($(Self::$name => $text,)+)+
                }
            }

            const fn bit(self) -> u64 {
                1 << self as u8
            }
        }
    };
}

// Sources: RFC 9110, RFC 9112, RFC 7239, Fetch, Trace Context; the others are customs that all know.
names! {
    2 { Te b"te" }
    3 { Nel b"nel" }
    4 { Date b"date" Host b"host" }
    6 { Cookie b"cookie" Expect b"expect" Origin b"origin" }
    7 { AltSvc b"alt-svc" Refresh b"refresh" Trailer b"trailer" Upgrade b"upgrade" }
    8 { Location b"location" }
    9 { Forwarded b"forwarded" ReportTo b"report-to" XRealIp b"x-real-ip" }
    10 { Connection b"connection" KeepAlive b"keep-alive" SetCookie b"set-cookie" }
    11 { RetryAfter b"retry-after" SetCookie2 b"set-cookie2" Traceparent b"traceparent" }
    12 { ContentType b"content-type" }
    13 { Authorization b"authorization" }
    14 { ContentLength b"content-length" }
    15 {
        AcceptEncoding b"accept-encoding"
        ClearSiteData b"clear-site-data"
        XForwardedFor b"x-forwarded-for"
    }
    16 {
        ContentEncoding b"content-encoding"
        ContentLocation b"content-location"
        ProxyConnection b"proxy-connection"
        WwwAuthenticate b"www-authenticate"
        XForwardedHost b"x-forwarded-host"
        XForwardedPort b"x-forwarded-port"
    }
    17 { TransferEncoding b"transfer-encoding" XForwardedProto b"x-forwarded-proto" }
    18 { ProxyAuthenticate b"proxy-authenticate" }
    19 { ProxyAuthorization b"proxy-authorization" }
    23 { ContentSecurityPolicy b"content-security-policy" }
    25 { StrictTransportSecurity b"strict-transport-security" }
    29 { AccessControlRequestMethod b"access-control-request-method" }
}

/// Some of the well-known names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Names(u64);

/// The first of `names` that `text` is. Of a length that is known the compiler compares many bytes at once.
#[inline]
fn first<const N: usize>(names: &[(&[u8; N], Name)], text: &[u8]) -> Name {
    let Ok(text) = <&[u8; N]>::try_from(text) else {
        return Name::Other;
    };
    // Lower case for letters; digits and hyphens stay, and no other character of a name becomes one of those.
    let lower = text.map(|byte| byte | 0x20);
    let found = names.iter().find(|(name, _)| **name == lower);
    found.map_or(Name::Other, |(_, name)| *name)
}

impl Names {
    /// Those listed.
    #[must_use]
    pub const fn of(names: &[Name]) -> Self {
        let (mut bits, mut rest) = (0, names);
        while let Some((name, after)) = rest.split_first() {
            bits |= name.bit();
            rest = after;
        }
        Self(bits)
    }

    /// Whether `name` is among them.
    #[must_use]
    pub const fn has(self, name: Name) -> bool {
        self.0 & name.bit() != 0
    }

    pub(crate) const fn add(&mut self, name: Name) {
        self.0 |= name.bit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_whatever_the_case() {
        assert_eq!(Name::of(Name::XRealIp.as_bytes()), Name::XRealIp);
        for (text, name) in [
            ("Host", Name::Host),
            ("TE", Name::Te),
            ("x-forwarded-PROTO", Name::XForwardedProto),
            ("Access-Control-Request-Method", Name::AccessControlRequestMethod),
            ("Strict-Transport-Security", Name::StrictTransportSecurity),
            ("hosts", Name::Other),
            ("hose", Name::Other),
            ("", Name::Other),
        ] {
            assert_eq!(Name::of(text.as_bytes()), name, "{text}");
        }
    }

    #[test]
    fn no_other_character_of_a_name_counts_as_a_hyphen_or_a_letter() {
        let tokens = (0..=u8::MAX).filter(|byte| crate::fields::is_token(*byte));
        for byte in tokens {
            let expected = match byte {
                b'-' => Name::AltSvc,
                _ => Name::Other,
            };
            assert_eq!(
                Name::of(&[b'a', b'l', b't', byte, b's', b'v', b'c']),
                expected,
                "{byte}"
            );
            let is_o = byte.eq_ignore_ascii_case(&b'o');
            let expected = if is_o { Name::Host } else { Name::Other };
            assert_eq!(Name::of(&[b'h', byte, b's', b't']), expected, "{byte}");
        }
    }

    #[test]
    fn a_set_has_what_it_lists() {
        let names = Names::of(&[Name::Host, Name::XRealIp]);
        assert!(names.has(Name::Host) && names.has(Name::XRealIp) && !names.has(Name::Date));
    }
}
