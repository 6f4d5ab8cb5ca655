//! A strict JSON scanner that never recurses, copies nothing and can tell "wrong" from "not all here yet".
//!
//! Source: RFC 8259. Like `serde_json` skipping a value, it accepts lone surrogates in `\u` escapes of
//! strings that nobody decodes; [`decode`] refuses them.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use smallvec::SmallVec;

/// Why scanning stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The text ended where more had to follow; what is there is a prefix of valid JSON.
    End,
    /// Not JSON, whatever follows.
    Invalid,
    /// Nested deeper than the scanner was told to accept.
    TooDeep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

impl Container {
    const fn closer(self) -> u8 {
        match self {
            Self::Object => b'}',
            Self::Array => b']',
        }
    }
}

/// Containers as deep as most texts have them are kept without an allocation.
const USUAL_DEPTH: usize = 32;
/// Strings as long as most are looked through word by word: setting out for a search costs more.
const SHORT: usize = 64;

/// A position in a JSON text and the containers open there.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    open: SmallVec<[Container; USUAL_DEPTH]>,
    max_depth: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(text: &'a str, max_depth: usize) -> Self {
        Self {
            text,
            at: 0,
            open: SmallVec::new_const(),
            max_depth,
        }
    }

    /// The byte at which the next token starts, which stays unread.
    pub(crate) fn token(&mut self) -> Result<u8, Stop> {
        loop {
            match self.byte()? {
                byte if byte > b' ' => return Ok(byte),
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Ok(byte),
            }
        }
    }

    /// Enters the object or array that starts here. `false`: it was empty and is left again.
    pub(crate) fn enter(&mut self) -> Result<bool, Stop> {
        let container = match self.token()? {
            b'{' => Container::Object,
            b'[' => Container::Array,
            _ => return Err(Stop::Invalid),
        };
        if self.open.len() >= self.max_depth {
            return Err(Stop::TooDeep);
        }
        self.at += 1;
        if self.token()? == container.closer() {
            self.at += 1;
            return Ok(false);
        }
        self.open.push(container);
        Ok(true)
    }

    /// After an element of the innermost open container: `true` when another follows, `false` when the
    /// container closed here.
    pub(crate) fn more(&mut self) -> Result<bool, Stop> {
        let token = self.token()?;
        let closer = self.open.last().map(|container| container.closer());
        if token == b',' && closer.is_some() {
            self.at += 1;
            Ok(true)
        } else if Some(token) == closer {
            self.at += 1;
            self.open.pop();
            Ok(false)
        } else {
            Err(Stop::Invalid)
        }
    }

    /// Reads a member's name and its colon; the member's value is next.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, Stop> {
        let (key, is_escaped) = self.raw_key()?;
        if is_escaped {
            return decode(key).ok_or(Stop::Invalid);
        }
        let name = key.get(1..key.len().saturating_sub(1)).unwrap_or_default();
        Ok(Cow::Borrowed(name))
    }

    /// Reads one value of any kind and returns its text, without white space around it.
    pub(crate) fn value(&mut self) -> Result<&'a str, Stop> {
        let token = self.token()?;
        let (start, base) = (self.at, self.open.len());
        if !matches!(token, b'{' | b'[') {
            self.scalar()?;
            return Ok(self.slice_from(start));
        }
        loop {
            let mut element_follows = match self.token()? {
                b'{' | b'[' => self.enter()?,
                _ => {
                    self.scalar()?;
                    false
                }
            };
            while !element_follows {
                if self.open.len() == base {
                    return Ok(self.slice_from(start));
                }
                element_follows = self.more()?;
            }
            if self.open.last() == Some(&Container::Object) {
                self.raw_key()?;
            }
        }
    }

    /// Where the next token starts, in bytes from the start of the text.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// What was read since `start`, a [`Self::position`] taken at a token.
    pub(crate) fn slice_from(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Checks that only white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Stop> {
        match self.token() {
            Err(Stop::End) => Ok(()),
            _ => Err(Stop::Invalid),
        }
    }

    fn byte(&self) -> Result<u8, Stop> {
        self.text.as_bytes().get(self.at).copied().ok_or(Stop::End)
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.byte() == Ok(byte);
        self.at += usize::from(found);
        found
    }

    /// A member's name with its quotes, and whether something in it is escaped.
    fn raw_key(&mut self) -> Result<(&'a str, bool), Stop> {
        if self.token()? != b'"' {
            return Err(Stop::Invalid);
        }
        let start = self.at;
        let is_escaped = self.string()?;
        let key = self.slice_from(start);
        if self.token()? != b':' {
            return Err(Stop::Invalid);
        }
        self.at += 1;
        Ok((key, is_escaped))
    }

    fn scalar(&mut self) -> Result<(), Stop> {
        match self.byte()? {
            b'"' => self.string().map(|_| ()),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => Err(Stop::Invalid),
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Stop> {
        let rest = self.rest();
        if rest.starts_with(word) {
            self.at += word.len();
            Ok(())
        } else if word.starts_with(rest) {
            Err(Stop::End)
        } else {
            Err(Stop::Invalid)
        }
    }

    fn number(&mut self) -> Result<(), Stop> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Stop> {
        if !self.byte()?.is_ascii_digit() {
            return Err(Stop::Invalid);
        }
        self.at += self
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        Ok(())
    }

    /// Reads a string; whether something in it is escaped.
    fn string(&mut self) -> Result<bool, Stop> {
        let text = self.text.as_bytes();
        let mut is_escaped = false;
        self.at += 1;
        loop {
            self.at += plain(text.get(self.at..).unwrap_or_default());
            match text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(is_escaped);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(Stop::Invalid),
                None => return Err(Stop::End),
            }
            is_escaped = true;
        }
    }

    fn escape(&mut self) -> Result<(), Stop> {
        self.at += 1;
        let digits = match self.byte()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
            b'u' => 4,
            _ => return Err(Stop::Invalid),
        };
        self.at += 1;
        for _ in 0..digits {
            if !self.byte()?.is_ascii_hexdigit() {
                return Err(Stop::Invalid);
            }
            self.at += 1;
        }
        Ok(())
    }
}

/// How many bytes at the beginning stand for themselves inside a string.
#[inline]
fn plain(text: &[u8]) -> usize {
    let mut words = text.chunks_exact(size_of::<u64>());
    let mut plain: usize = 0;
    for word in words.by_ref() {
        let specials = specials(word.try_into().map_or(0, u64::from_le_bytes));
        if specials != 0 {
            return plain + (specials.trailing_zeros() / u8::BITS) as usize;
        }
        plain += size_of::<u64>();
        if plain == SHORT {
            return plain + long_plain(text.get(plain..).unwrap_or_default());
        }
    }
    let rest = words.remainder().iter();
    plain + rest.take_while(|byte| is_plain(**byte)).count()
}

/// The same for a long string: up to the next quote or backslash, or a control character somewhere before.
fn long_plain(text: &[u8]) -> usize {
    let special = memchr2(b'"', b'\\', text).unwrap_or(text.len());
    let plain = text.get(..special).unwrap_or_default();
    // Without an early exit the compiler compares many bytes at once.
    if plain.iter().fold(false, |control, byte| control | (*byte < b' ')) {
        return plain.iter().take_while(|byte| is_plain(**byte)).count();
    }
    special
}

/// Marks in the highest bit of each byte those that do not stand for themselves inside a string. Only the lowest
/// mark is exact: what is subtracted borrows from the bytes above it. Source: A. Mycroft's test for a zero byte.
const fn specials(word: u64) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = EACH << 7;
    let quote = word ^ (EACH * b'"' as u64);
    let backslash = word ^ (EACH * b'\\' as u64);
    let is_control = word.wrapping_sub(EACH * b' ' as u64) & !word;
    let is_quote = quote.wrapping_sub(EACH) & !quote;
    let is_backslash = backslash.wrapping_sub(EACH) & !backslash;
    (is_control | is_quote | is_backslash) & HIGHEST
}

/// Whether `byte` stands for itself inside a string.
const fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

/// The text that a scanned JSON string stands for; `None` when `value` is no string or holds a lone
/// surrogate.
pub(crate) fn decode(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(value).ok().map(Cow::Owned)
}

#[cfg(test)]
pub(crate) mod tests;
