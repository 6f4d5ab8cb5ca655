//! How messages that hold values of secrets are shown: without them.

use std::fmt;

use crate::v1;

const MASK: &str = "***";

impl fmt::Debug for v1::Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("name", &self.name)
            .field("value", &self.value.as_ref().map(|_| MASK))
            .field("fingerprint", &self.fingerprint)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

/// The payload is left out too: it may hold URLs with keys.
impl fmt::Debug for v1::DiscoveryResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiscoveryResource")
            .field("kind", &self.kind())
            .field("id", &self.id)
            .field("revision", &self.revision)
            .field("ttl", &self.ttl)
            .field("value", &self.value.as_ref().map(|_| MASK))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_shown() {
        let secret = v1::Secret {
            name: "alchemy".to_owned(),
            value: Some("s3cret".to_owned()),
            ..v1::Secret::default()
        };
        let row = v1::DiscoveryResource {
            id: "alchemy".to_owned(),
            value: Some("s3cret".to_owned()),
            payload: "s3cret".into(),
            ..v1::DiscoveryResource::default()
        };
        for shown in [format!("{secret:?}"), format!("{row:?}")] {
            assert!(shown.contains("alchemy") && !shown.contains("s3cret"), "{shown}");
        }
    }
}
