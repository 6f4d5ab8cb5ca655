//! What a rule is: the conditions on an answer, and the class it gives.

use super::vendor::Vendor;
use crate::class::Class;
use crate::method::{Kind, Method};

/// What kind of body carries the words, as bits of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape(u8);

impl Shape {
    /// A JSON-RPC error, of a call or for a whole batch.
    pub(super) const ERROR: Self = Self(1);
    /// A JSON object that is no envelope, such as `{"message":"…"}`.
    pub(super) const BARE: Self = Self(2);
    /// Plain text.
    pub(super) const TEXT: Self = Self(4);
    /// A page of a web server.
    pub(super) const PAGE: Self = Self(8);
    /// Nothing, a body cut short, JSON that answers nothing, or bytes that are no text.
    pub(super) const NOTHING: Self = Self(16);
    /// A result, with a status that does not go with one.
    pub(super) const RESULT: Self = Self(32);
    /// Whatever it is.
    pub(super) const ANY: Self = Self(63);

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A condition on what is said. Texts are lower case, with ` | ` between one and the next; case does not matter in
/// answers.
///
/// A text is found only where a word begins: `known transaction` is not in `unknown transaction`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text {
    /// None.
    Any,
    /// One of the texts is in it.
    Has(&'static str),
    /// One of the texts is in it and ends where a word ends.
    Words(&'static str),
    /// All parts of one of the texts are in it, with ` & ` between one part and the next.
    All(&'static str),
    /// The message is one of the texts and nothing else.
    Whole(&'static str),
}

/// A condition on the error's code.
#[derive(Debug, Clone, Copy)]
pub(super) enum Code {
    /// None.
    Any,
    /// One of these.
    In(&'static [i64]),
    /// There is one, and it is none of these.
    Other(&'static [i64]),
    /// There is none, or it is none of these.
    NotIn(&'static [i64]),
}

/// A condition on the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Methods {
    /// None.
    Any,
    /// It sends a transaction.
    Send,
    /// It asks for logs.
    Logs,
    /// It traces, so that it runs transactions a node would not accept.
    Trace,
}

impl Methods {
    pub(super) fn include(self, method: &Method) -> bool {
        match self {
            Self::Any => true,
            Self::Send => method.kind == Kind::Write,
            Self::Logs => method.label.ends_with("getLogs"),
            Self::Trace => method.label.starts_with("debug_") || method.label.starts_with("trace_"),
        }
    }
}

/// One row of the table: an answer that meets every condition is of the class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Says in the documentation what it recognises.
    pub(super) name: &'static str,
    pub(super) class: Class,
    /// Only answers of this vendor.
    pub(super) vendor: Option<Vendor>,
    pub(super) shapes: Shape,
    pub(super) text: Text,
    /// None of these texts is in it; empty: no such condition.
    pub(super) unless: &'static str,
    pub(super) code: Code,
    /// The HTTP status is in one of the ranges, ends included; no range: any.
    pub(super) statuses: &'static [(u16, u16)],
    pub(super) methods: Methods,
}

/// A rule for errors that say something: JSON-RPC errors, bare JSON and plain text.
pub(super) const fn says(class: Class, name: &'static str, text: Text) -> Rule {
    let shapes = Shape::ERROR.or(Shape::BARE).or(Shape::TEXT);
    Rule {
        text,
        shapes,
        ..when(class, name)
    }
}

/// A rule for errors with a code of their own: JSON-RPC errors and bare JSON.
pub(super) const fn coded(class: Class, name: &'static str, codes: &'static [i64]) -> Rule {
    Rule {
        code: Code::In(codes),
        shapes: Shape::ERROR.or(Shape::BARE),
        ..when(class, name)
    }
}

/// A rule for HTTP statuses, whatever the body.
pub(super) const fn status(class: Class, name: &'static str, statuses: &'static [(u16, u16)]) -> Rule {
    Rule {
        statuses,
        ..when(class, name)
    }
}

/// A rule without conditions.
pub(super) const fn when(class: Class, name: &'static str) -> Rule {
    Rule {
        name,
        class,
        vendor: None,
        shapes: Shape::ANY,
        text: Text::Any,
        unless: "",
        code: Code::Any,
        statuses: &[],
        methods: Methods::Any,
    }
}

impl Rule {
    pub(super) const fn of(self, vendor: Vendor) -> Self {
        Self {
            vendor: Some(vendor),
            ..self
        }
    }

    pub(super) const fn shaped(self, shapes: Shape) -> Self {
        Self { shapes, ..self }
    }

    /// Also on pages of web servers.
    pub(super) const fn or_page(self) -> Self {
        Self {
            shapes: self.shapes.or(Shape::PAGE),
            ..self
        }
    }

    pub(super) const fn said(self, text: Text) -> Self {
        Self { text, ..self }
    }

    pub(super) const fn unless(self, texts: &'static str) -> Self {
        Self {
            unless: texts,
            ..self
        }
    }

    pub(super) const fn code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    pub(super) const fn only(self, methods: Methods) -> Self {
        Self { methods, ..self }
    }
}
