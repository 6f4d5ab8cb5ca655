//! Plugins attached to routes.

use std::{fmt, str::FromStr};

use crate::{Kind, Name, ResourceKey, RouteId, Violation, ViolationCode, rpc::words};

/// Where a plugin acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PluginType {
    /// Around the whole request.
    Middleware,
    /// On the request to the upstream.
    RequestInterceptor,
    /// On the upstream's answer.
    ResponseInterceptor,
}

words!(PluginType, "type", "must be one of [Middleware RequestInterceptor ResponseInterceptor]", {
    Middleware => "Middleware",
    RequestInterceptor => "RequestInterceptor",
    ResponseInterceptor => "ResponseInterceptor",
});

/// Where a plugin stands among others: 1 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginPriority(u32);

impl PluginPriority {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for PluginPriority {
    type Error = Violation;

    fn try_from(number: u32) -> Result<Self, Violation> {
        match number {
            1..=1000 => Ok(Self(number)),
            _ => Err(Violation::new(
                "priority",
                ViolationCode::OutOfRange,
                "must be 1 to 1000",
            )),
        }
    }
}

/// A plugin attached to a route, once per name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginAttachment {
    /// The route.
    pub route_id: RouteId,
    /// Which plugin.
    pub name: Name,
    /// Where it acts.
    pub plugin_type: PluginType,
    /// Where it stands among others.
    pub priority: PluginPriority,
    /// For people.
    pub description: String,
    /// Its configuration, a JSON text.
    pub config_json: String,
}

impl PluginAttachment {
    /// The key of the attachment of a plugin to a route.
    #[must_use]
    pub fn key_of(route_id: RouteId, name: &Name) -> ResourceKey {
        ResourceKey::new(Kind::Plugin, format!("{route_id}/{name}"))
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        Self::key_of(self.route_id, &self.name)
    }

    /// The rules the types do not hold already.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if serde_json::from_str::<serde_json::Value>(&self.config_json).is_err() {
            found.push(Violation::new(
                "config_json",
                ViolationCode::Invalid,
                "must be JSON",
            ));
        }
        if self.config_json.len() > 65_536 {
            found.push(Violation::new(
                "config_json",
                ViolationCode::OutOfRange,
                "must have at most 65536 bytes",
            ));
        }
        if self.description.len() > 4096 {
            found.push(Violation::new(
                "description",
                ViolationCode::OutOfRange,
                "must have at most 4096 bytes",
            ));
        }
        found
    }
}
