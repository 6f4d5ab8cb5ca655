//! Header fields, kept as places in the bytes they came in.

use std::fmt;
use std::mem;

use bytes::{Bytes, BytesMut};

use crate::alphabet::Alphabet;

/// The header fields of one message, in order. Names keep the case they came in.
#[derive(Clone, Default)]
pub struct Fields {
    text: Bytes,
    spans: Vec<Span>,
}

/// One header field.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// Whether it is known to be well-formed, because it came so.
    checked: bool,
}

/// A name that is no token, or a value with control characters: written into a head it would end the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("header field with characters that do not belong there")]
pub struct InvalidField;

/// Where a field stands. 32 bits suffice: heads are bounded far below that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) name: (u32, u32),
    pub(crate) value: (u32, u32),
}

impl<'a> Field<'a> {
    /// A field to be sent.
    #[must_use]
    pub const fn new(name: &'a str, value: &'a [u8]) -> Self {
        Self {
            name: name.as_bytes(),
            value,
            checked: false,
        }
    }

    /// As it came; compare it with [`Field::is`].
    #[must_use]
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Without the white space around it; any bytes but control characters.
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }

    /// Whether this is the field `name`, whatever the case.
    #[must_use]
    pub const fn is(&self, name: &str) -> bool {
        self.name.len() == name.len() && self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether the field is about one connection rather than the message. What a `Connection` field names is
    /// so as well: [`Fields::end_to_end`] leaves out both. Sources: RFC 9110, section 7.6.1; `Keep-Alive` and
    /// `Proxy-Connection` are older.
    #[must_use]
    pub fn is_hop_by_hop(&self) -> bool {
        match self.name.len() {
            2 => self.is("te"),
            7 => self.is("trailer") || self.is("upgrade"),
            10 => self.is("connection") || self.is("keep-alive"),
            16 => self.is("proxy-connection"),
            17 => self.is("transfer-encoding"),
            18 => self.is("proxy-authenticate"),
            19 => self.is("proxy-authorization"),
            _ => false,
        }
    }

    /// # Errors
    /// [`InvalidField`] when it cannot be written into a head.
    pub(crate) fn check(&self) -> Result<(), InvalidField> {
        if self.checked {
            return Ok(());
        }
        // Without an early exit the compiler compares many bytes at once.
        let letters = self.name.iter().fold(true, |all, &byte| all & TOKEN.has(byte));
        let name_is_token = letters && !self.name.is_empty();
        let value_is_text = self.value.iter().fold(true, |all, &byte| all & is_text(byte));
        if name_is_token && value_is_text {
            Ok(())
        } else {
            Err(InvalidField)
        }
    }
}

/// Of names. Source: RFC 9110, section 5.6.2.
static TOKEN: Alphabet = Alphabet::of(b"!#$%&'*+-.^_`|~");

/// Source: RFC 9110, section 5.5.
pub(crate) const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

impl Fields {
    pub(crate) const fn received(text: Bytes, spans: Vec<Span>) -> Self {
        Self { text, spans }
    }

    /// Fields that did not come over HTTP/1.1.
    ///
    /// # Errors
    /// [`InvalidField`] when one of them could not be written into a head.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, InvalidField> {
        let (mut text, mut spans) = (BytesMut::new(), Vec::new());
        let mut keep = |part: &[u8]| {
            let start = u32::try_from(text.len()).map_err(|_| InvalidField)?;
            text.extend_from_slice(part);
            let length = u32::try_from(part.len()).map_err(|_| InvalidField)?;
            Ok((start, length))
        };
        for (name, value) in pairs {
            Field::new(name, value).check()?;
            spans.push(Span {
                name: keep(name.as_bytes())?,
                value: keep(value)?,
            });
        }
        Ok(Self::received(text.freeze(), spans))
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        self.spans.iter().map(|span| self.field(*span))
    }

    fn field(&self, span: Span) -> Field<'_> {
        Field {
            name: part(&self.text, span.name),
            value: part(&self.text, span.value),
            checked: true,
        }
    }

    /// The value of the first field `name`, whatever the case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|field| field.is(name)).map(|field| field.value)
    }

    /// The values of all fields `name`, whatever the case.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |field| field.is(name))
            .map(|field| field.value)
    }

    /// The fields that are not about the connection they came by: neither hop-by-hop nor named by a
    /// `Connection` field.
    pub fn end_to_end(&self) -> impl Iterator<Item = Field<'_>> {
        let names_others = self.spans.iter().any(|span| {
            span.name.1 == 10 && self.is_connection(*span) && !is_plain(part(&self.text, span.value))
        });
        self.iter().filter(move |field| {
            !(field.is_hop_by_hop() || names_others && self.is_named_by_connection(field.name))
        })
    }

    /// Leaves of the [end-to-end](Self::end_to_end) fields those that `keep` says yes to, and no others.
    pub fn keep_end_to_end(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let mut spans = mem::take(&mut self.spans);
        let names_others = spans
            .iter()
            .any(|span| self.is_connection(*span) && !is_plain(part(&self.text, span.value)));
        if names_others {
            self.spans.clone_from(&spans);
            spans.retain(|span| !self.is_named_by_connection(part(&self.text, span.name)));
        }
        spans.retain(|span| {
            let field = self.field(*span);
            !field.is_hop_by_hop() && keep(field)
        });
        self.spans = spans;
    }

    /// How many fields there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    fn is_connection(&self, span: Span) -> bool {
        part(&self.text, span.name).eq_ignore_ascii_case(b"connection")
    }

    fn is_named_by_connection(&self, name: &[u8]) -> bool {
        self.get_all("connection")
            .flat_map(members)
            .any(|member| member.eq_ignore_ascii_case(name))
    }
}

/// Whether a `Connection` field only says whether the connection stays open.
fn is_plain(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

/// The members of a comma-separated list. Source: RFC 9110, section 5.6.1.
pub(crate) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn part(text: &[u8], (start, length): (u32, u32)) -> &[u8] {
    let start = start as usize;
    text.get(start..start.saturating_add(length as usize))
        .unwrap_or_default()
}

/// Names only: values hold credentials.
impl fmt::Debug for Fields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

/// The name only: values hold credentials.
impl fmt::Debug for Field<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.name), formatter)
    }
}
