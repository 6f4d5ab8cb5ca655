//! Parts of resources: messages inside a message, each field a flag.

use std::{convert::Infallible, str::FromStr};

use serde::{Deserialize, Serialize};

/// How a field that may not be given stands in a message.
pub(super) trait Field<W>: Sized {
    /// As in the message.
    fn write(given: Option<Self>) -> W;
    /// From the message.
    fn read(wire: W) -> Option<Self>;
}

/// Fields without presence: not given is 0, false or empty.
impl<T: Default> Field<T> for T {
    fn write(given: Option<Self>) -> T {
        given.unwrap_or_default()
    }

    fn read(wire: T) -> Option<Self> {
        Some(wire)
    }
}

/// Fields with presence.
impl<T> Field<Option<T>> for T {
    fn write(given: Option<Self>) -> Option<T> {
        given
    }

    fn read(wire: Option<T>) -> Option<Self> {
        wire
    }
}

/// A list of texts: as a flag with commas between them, in documents a sequence. Empty is a value too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Texts(Vec<String>);

impl FromStr for Texts {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        Ok(Self(texts.map(str::to_owned).collect()))
    }
}

impl Field<Vec<String>> for Texts {
    fn write(given: Option<Self>) -> Vec<String> {
        given.map(|Self(texts)| texts).unwrap_or_default()
    }

    fn read(wire: Vec<String>) -> Option<Self> {
        (!wire.is_empty()).then_some(Self(wire))
    }
}

/// Declares a part of a resource whose fields are named as in its message.
macro_rules! part {
    (
        $heading:literal $name:ident = $wire:ty {
            $($(#[doc = $help:literal])+ #[arg($($arg:tt)*)] $field:ident: $type:ty,)+
        }
    ) => {
        #[derive(
            Debug, Clone, Default, PartialEq, clap::Args, serde::Serialize, serde::Deserialize,
        )]
        #[serde(deny_unknown_fields, default)]
        #[command(next_help_heading = $heading)]
        pub(crate) struct $name {
            $(
                $(#[doc = $help])+
                #[arg($($arg)*)]
                #[serde(skip_serializing_if = "Option::is_none")]
                $field: Option<$type>,
            )+
        }

        impl $name {
            /// As a message; none when no field is set.
            pub(in crate::resource) fn into_message(self) -> Option<$wire> {
                (!$crate::resource::is_unset(&self)).then(|| {
                    let mut message = <$wire>::default();
                    $(message.$field = $crate::resource::part::Field::write(self.$field);)+
                    message
                })
            }

            /// From a message; one that is absent sets no field.
            pub(in crate::resource) fn from_message(message: Option<$wire>) -> Self {
                message.map_or_else(Self::default, |message| Self {
                    $($field: $crate::resource::part::Field::read(message.$field),)+
                })
            }
        }
    };
}
pub(super) use part;
