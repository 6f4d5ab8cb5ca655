//! Secrets in documents. Their values are read from there and never shown.

use std::fmt;

use serde::{Deserialize, Serialize};
use tyrscale_model::Kind;
use tyrscale_proto::v1;

use super::{Meta, Resource};
use crate::output::Columns;

/// A value on its way to the control plane. `Debug` masks it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Secret {
    /// Its name, which is its id: letters, digits, "_" and "-".
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// In documents only: a command line is seen by others.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Hidden>,
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) meta: Option<Meta>,
}

impl Secret {
    pub(crate) fn into_message(self) -> v1::Secret {
        v1::Secret {
            name: self.name.unwrap_or_default(),
            value: self.value.map(|Hidden(value)| value),
            meta: Meta::into_message(self.meta),
            ..v1::Secret::default()
        }
    }
}

impl Resource for Secret {
    type Message = v1::Secret;
    const KIND: Kind = Kind::Secret;
    const ID: &'static str = "name";
    const COLUMNS: Columns = &["name"];
    const REST_FIELDS: &'static [(&'static str, &'static str)] = &[];

    fn id(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn meta_mut(&mut self) -> &mut Option<Meta> {
        &mut self.meta
    }

    fn into_message(self) -> v1::Secret {
        self.into_message()
    }

    fn from_message(message: v1::Secret) -> Self {
        Self {
            name: Some(message.name),
            value: None,
            meta: Meta::from_message(message.meta),
        }
    }

    fn wrap(message: v1::Secret) -> v1::resource::Resource {
        v1::resource::Resource::Secret(message)
    }
}
