//! Header fields, kept as places in the bytes they came in.

use std::fmt;
use std::mem;

use bytes::{Bytes, BytesMut};

use crate::alphabet::Alphabet;
use crate::name::{Name, Names};

/// The header fields of one message, in order. Names keep the case they came in.
#[derive(Clone, Default)]
pub struct Fields {
    text: Bytes,
    spans: Vec<Span>,
    /// The well-known names that may be among them.
    known: Names,
}

/// One header field.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    known: Name,
    form: Form<'a>,
}

/// Where a field is from.
#[derive(Clone, Copy)]
enum Form<'a> {
    /// It came, and so is well-formed.
    Received {
        text: &'a [u8],
        span: &'a Span,
    },
    /// A name that is well-formed.
    Known {
        value: &'a [u8],
    },
    Given {
        name: &'a [u8],
        value: &'a [u8],
    },
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
    pub(crate) known: Name,
}

/// What stands between a name and its value as we write it.
pub(crate) const SEPARATOR: &[u8] = b": ";

/// What is about the connection rather than the message, whatever a `Connection` field names besides. Source: RFC
/// 9110, section 7.6.1; `Keep-Alive` and `Proxy-Connection` are older.
const HOP_BY_HOP: Names = Names::of(&[
    Name::Connection,
    Name::KeepAlive,
    Name::ProxyAuthenticate,
    Name::ProxyAuthorization,
    Name::ProxyConnection,
    Name::Te,
    Name::Trailer,
    Name::TransferEncoding,
    Name::Upgrade,
]);

impl<'a> Field<'a> {
    /// A field to be sent.
    #[must_use]
    pub fn new(name: &'a str, value: &'a [u8]) -> Self {
        let name = name.as_bytes();
        Self {
            known: Name::of(name),
            form: Form::Given { name, value },
        }
    }

    /// A field with a well-known name to be sent.
    #[must_use]
    pub const fn of(name: Name, value: &'a [u8]) -> Self {
        Self {
            known: name,
            form: Form::Known { value },
        }
    }

    /// As it came; compare it with [`Field::is`].
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        match self.form {
            Form::Received { text, span } => part(text, span.name),
            Form::Known { .. } => self.known.as_bytes(),
            Form::Given { name, .. } => name,
        }
    }

    /// Without the white space around it; any bytes but control characters.
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        match self.form {
            Form::Received { text, span } => part(text, span.value),
            Form::Known { value } | Form::Given { value, .. } => value,
        }
    }

    /// Whether this is the field `name`, whatever the case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        is_named(self.name(), name)
    }

    /// Which of the well-known names it has.
    #[must_use]
    pub const fn known(&self) -> Name {
        self.known
    }

    /// Name and value as they are to be written, when they came so.
    pub(crate) fn line(&self) -> Option<&'a [u8]> {
        match self.form {
            Form::Received { text, span } => span.line(text),
            Form::Known { .. } | Form::Given { .. } => None,
        }
    }

    /// Whether the field is about one connection rather than the message. What a `Connection` field names is
    /// so as well: [`Fields::end_to_end`] leaves out both. Sources: RFC 9110, section 7.6.1; `Keep-Alive` and
    /// `Proxy-Connection` are older.
    #[must_use]
    pub const fn is_hop_by_hop(&self) -> bool {
        HOP_BY_HOP.has(self.known)
    }

    /// # Errors
    /// [`InvalidField`] when it cannot be written into a head.
    pub(crate) fn check(&self) -> Result<(), InvalidField> {
        let (name_is_token, value) = match self.form {
            Form::Received { .. } => return Ok(()),
            Form::Known { value } => (self.known != Name::Other, value),
            Form::Given { name, value } => {
                let letters = name.iter().all(|&byte| is_token(byte));
                (letters && !name.is_empty(), value)
            }
        };
        // Without an early exit the compiler compares many bytes at once.
        let value_is_text = value.iter().fold(true, |all, &byte| all & is_text(byte));
        if name_is_token && value_is_text {
            Ok(())
        } else {
            Err(InvalidField)
        }
    }
}

/// Of names. Source: RFC 9110, section 5.6.2.
static TOKEN: Alphabet = Alphabet::of(b"!#$%&'*+-.^_`|~");

pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN.has(byte)
}

/// Source: RFC 9110, section 5.5.
pub(crate) const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

impl Fields {
    pub(crate) fn received(text: Bytes, spans: Vec<Span>) -> Self {
        let mut known = Names::default();
        spans.iter().for_each(|span| known.add(span.known));
        Self { text, spans, known }
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
            let known = Name::of(name.as_bytes());
            let name = keep(name.as_bytes())?;
            keep(SEPARATOR)?;
            let value = keep(value)?;
            spans.push(Span { name, value, known });
        }
        Ok(Self::received(text.freeze(), spans))
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        self.spans.iter().map(|span| self.field(span))
    }

    fn field<'a>(&'a self, span: &'a Span) -> Field<'a> {
        Field {
            known: span.known,
            form: Form::Received {
                text: &self.text,
                span,
            },
        }
    }

    /// The value of the first field with a well-known name.
    #[must_use]
    pub fn known(&self, name: Name) -> Option<&[u8]> {
        let span = self.spans_of(name).iter().find(|span| span.known == name)?;
        Some(part(&self.text, span.value))
    }

    /// The values of all fields with a well-known name.
    pub fn all_known(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        let spans = if self.known.has(name) {
            self.spans.as_slice()
        } else {
            &[]
        };
        let spans = spans.iter().filter(move |span| span.known == name);
        spans.map(|span| part(&self.text, span.value))
    }

    /// The value of the first field `name`, whatever the case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let known = Name::of(name.as_bytes());
        let span = self
            .spans_of(known)
            .iter()
            .find(|span| self.is(span, known, name))?;
        Some(part(&self.text, span.value))
    }

    /// The values of all fields `name`, whatever the case.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let known = Name::of(name.as_bytes());
        let spans = self.spans_of(known).iter();
        let spans = spans.filter(move |span| self.is(span, known, name));
        spans.map(|span| part(&self.text, span.value))
    }

    /// Where to look for fields with a name: nowhere, when there is none.
    fn spans_of(&self, name: Name) -> &[Span] {
        if self.known.has(name) { &self.spans } else { &[] }
    }

    fn is(&self, span: &Span, known: Name, name: &str) -> bool {
        span.known == known && (known != Name::Other || is_named(part(&self.text, span.name), name))
    }

    /// The fields that are not about the connection they came by: neither hop-by-hop nor named by a
    /// `Connection` field.
    pub fn end_to_end(&self) -> impl Iterator<Item = Field<'_>> {
        let names_others = self.names_others();
        self.iter().filter(move |field| {
            !(field.is_hop_by_hop() || names_others && self.is_named_by_connection(field.name()))
        })
    }

    /// Leaves of the [end-to-end](Self::end_to_end) fields those that `keep` says yes to, and no others.
    pub fn keep_end_to_end(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let names_others = self.names_others();
        let mut spans = mem::take(&mut self.spans);
        if names_others {
            self.spans.clone_from(&spans);
            spans.retain(|span| !self.is_named_by_connection(part(&self.text, span.name)));
        }
        spans.retain(|span| !HOP_BY_HOP.has(span.known) && keep(self.field(span)));
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

    /// Whether a `Connection` field names others as being about the connection.
    fn names_others(&self) -> bool {
        self.all_known(Name::Connection).any(|value| !is_plain(value))
    }

    fn is_named_by_connection(&self, name: &[u8]) -> bool {
        self.all_known(Name::Connection)
            .flat_map(members)
            .any(|member| member.eq_ignore_ascii_case(name))
    }
}

impl Span {
    /// Name and value in `text`, if they stand there as they would be written.
    fn line<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (start, name_end) = (self.name.0, self.name.0.saturating_add(self.name.1));
        let between = (name_end, self.value.0.saturating_sub(name_end));
        let end = self.value.0.saturating_add(self.value.1);
        (part(text, between) == SEPARATOR).then(|| part(text, (start, end.saturating_sub(start))))
    }
}

fn is_named(name: &[u8], wanted: &str) -> bool {
    name.len() == wanted.len() && name.eq_ignore_ascii_case(wanted.as_bytes())
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
        fmt::Debug::fmt(&String::from_utf8_lossy(self.name()), formatter)
    }
}
