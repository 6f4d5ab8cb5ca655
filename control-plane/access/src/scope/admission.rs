//! Whether a change stays inside a scope.

use std::collections::BTreeSet;

use tyrscale_model::{
    HttpUrl, ProxyAddress, Rejection, Resource, ResourceKey, Rpc, Snapshot, Target, Upstream, Violation,
    ViolationCode,
};

use super::{Scope, route_of};

impl Scope {
    /// Whether a change of these resources is inside: the resources as they were before it and as they are after it, the
    /// routes they act on, and what they begin to use. That is judged as it was before, or as the change makes it: else a
    /// change could draw it in. Whoever changes where a resource sends requests uses all that goes there anew: secrets must be
    /// inside, and values that were written before, which readers are not shown, do not follow.
    ///
    /// # Errors
    /// A [`Rejection`] naming the resources that are not.
    pub fn admit_change<'a>(
        &self,
        before: &Snapshot,
        after: &Snapshot,
        keys: impl IntoIterator<Item = &'a ResourceKey>,
    ) -> Result<(), Rejection> {
        if self.is_everywhere() {
            return Ok(());
        }
        let admission = Admission {
            scope: self,
            before,
            after,
        };
        let mut used = BTreeSet::new();
        let mut violations = Vec::new();
        for key in keys {
            used.extend(admission.used(key));
            violations.extend(admission.violation(key));
        }
        let outside = used.iter().filter(|key| !admission.may_use(key));
        violations.extend(outside.map(is_outside));
        if violations.is_empty() {
            Ok(())
        } else {
            Err(violations.into())
        }
    }
}

fn is_outside(key: &ResourceKey) -> Violation {
    let message = "is outside of what the token is for";
    Violation::new("", ViolationCode::OutOfScope, message).of(key.clone())
}

/// A change under a scope.
struct Admission<'a> {
    scope: &'a Scope,
    before: &'a Snapshot,
    after: &'a Snapshot,
}

impl Admission<'_> {
    /// What is wrong with a changed resource itself.
    fn violation(&self, key: &ResourceKey) -> Option<Violation> {
        let mut states = [self.before, self.after].into_iter();
        if states.any(|state| state.get(key).is_some() && !self.scope.admits(state, key)) {
            return Some(is_outside(key));
        }
        if self.carries_along(key) {
            let message = "would send values elsewhere that were set before and are not shown: remove them first, or give others";
            return Some(Violation::new("", ViolationCode::OutOfScope, message).of(key.clone()));
        }
        // They may be out of the caller's sight, so they are not named.
        let is_leak = self.sent_along(key).iter().any(|secret| !self.may_use(secret));
        is_leak.then(|| {
            let message = "would send secrets elsewhere that are outside of what the token is for";
            Violation::new("", ViolationCode::OutOfScope, message).of(key.clone())
        })
    }

    /// Whether something is inside, as it was before the change or as the change makes it.
    fn may_use(&self, key: &ResourceKey) -> bool {
        let is_known = self.before.get(key).is_some();
        let state = if is_known { self.before } else { self.after };
        self.scope.admits(state, key)
    }

    /// The route that a changed resource acts on, and what it names and did not use in this way before.
    fn used(&self, key: &ResourceKey) -> BTreeSet<ResourceKey> {
        let Some(entry) = self.after.get(key) else {
            return BTreeSet::new();
        };
        let resource = &entry.resource;
        let mut used: BTreeSet<ResourceKey> =
            route_of(resource).map(|route| route.key()).into_iter().collect();
        match resource {
            Resource::Rpc(rpc) => {
                let known = self.rpc_before(key);
                if known.is_none_or(|known| {
                    place_of_rpc(known) != place_of_rpc(rpc) || known.headers != rpc.headers
                }) {
                    used.extend(resource.secrets());
                }
            }
            Resource::Upstream(upstream) => {
                let known = self.upstream_before(key);
                let is_moved = is_moved(known, upstream);
                if is_moved || known.is_none_or(|known| known.headers != upstream.headers) {
                    used.extend(resource.secrets());
                }
                if let Target::Rpc(rpc) = &upstream.target
                    && is_moved
                {
                    used.insert(rpc.key());
                }
            }
            Resource::Network(_)
            | Resource::Secret(_)
            | Resource::Plugin(_)
            | Resource::Route(_)
            | Resource::Recommendation(_) => {}
        }
        used
    }

    /// The secrets of others that go where a changed resource newly sends: those of an rpc through an upstream's proxy, those
    /// of upstreams to the URL of their rpc.
    fn sent_along(&self, key: &ResourceKey) -> BTreeSet<ResourceKey> {
        let secrets = |key: &ResourceKey| {
            let entry = self.after.get(key);
            entry.map(|entry| entry.resource.secrets()).unwrap_or_default()
        };
        match self.after.get(key).map(|entry| &entry.resource) {
            Some(Resource::Rpc(rpc))
                if self
                    .rpc_before(key)
                    .is_some_and(|known| place_of_rpc(known) != place_of_rpc(rpc)) =>
            {
                self.after.referrers_of(key).flat_map(secrets).collect()
            }
            Some(Resource::Upstream(upstream)) => match &upstream.target {
                Target::Rpc(rpc)
                    if upstream.proxy.is_some() && is_moved(self.upstream_before(key), upstream) =>
                {
                    secrets(&rpc.key())
                }
                Target::Rpc(_) | Target::Address(_) => BTreeSet::new(),
            },
            _ => BTreeSet::new(),
        }
    }

    /// Whether values that were there before the change, and are no references to secrets, newly go somewhere else.
    fn carries_along(&self, key: &ResourceKey) -> bool {
        let is_kept = |key: &ResourceKey, upstream: &Upstream| {
            let known = self.upstream_before(key);
            known.is_some_and(|known| upstream.headers.keep_values_of(&known.headers))
        };
        match self.after.get(key).map(|entry| &entry.resource) {
            Some(Resource::Rpc(rpc)) => {
                let origin = |rpc: &Rpc| (rpc.url.origin(), rpc.egress_proxy.clone());
                let moved = self.rpc_before(key).filter(|known| origin(known) != origin(rpc));
                let users = || self.after.referrers_of(key);
                moved.is_some_and(|known| {
                    // Another proxy would read what was in the URL before.
                    let keeps_key = known.egress_proxy != rpc.egress_proxy
                        && known.url == rpc.url
                        && rpc.url.masked() != rpc.url.expose();
                    keeps_key
                        || rpc.headers.keep_values_of(&known.headers)
                        || users().any(|user| self.upstream_after(user).is_some_and(|it| is_kept(user, it)))
                })
            }
            Some(Resource::Upstream(upstream)) => {
                let moved = self
                    .upstream_before(key)
                    .filter(|known| place(known) != place(upstream));
                moved.is_some_and(|known| {
                    let keeps_key = match (&known.target, &upstream.target) {
                        (Target::Address(known), Target::Address(address)) => address.keeps_key_of(known),
                        (_, Target::Rpc(rpc)) if upstream.proxy.is_some() => self.holds_values(&rpc.key()),
                        _ => false,
                    };
                    keeps_key || is_kept(key, upstream)
                })
            }
            _ => false,
        }
    }

    /// Whether an rpc has values in its URL or headers that are no references to secrets, which another proxy would read.
    fn holds_values(&self, rpc: &ResourceKey) -> bool {
        self.rpc_before(rpc).is_some_and(|rpc| {
            rpc.url.masked() != rpc.url.expose() || rpc.headers.keep_values_of(&rpc.headers)
        })
    }

    fn upstream_after(&self, key: &ResourceKey) -> Option<&Upstream> {
        match &self.after.get(key)?.resource {
            Resource::Upstream(upstream) => Some(upstream),
            _ => None,
        }
    }

    fn rpc_before(&self, key: &ResourceKey) -> Option<&Rpc> {
        match &self.before.get(key)?.resource {
            Resource::Rpc(rpc) => Some(rpc),
            _ => None,
        }
    }

    fn upstream_before(&self, key: &ResourceKey) -> Option<&Upstream> {
        match &self.before.get(key)?.resource {
            Resource::Upstream(upstream) => Some(upstream),
            _ => None,
        }
    }
}

/// Where requests to an rpc go, and by which way.
fn place_of_rpc(rpc: &Rpc) -> (&HttpUrl, Option<&ProxyAddress>) {
    (&rpc.url, rpc.egress_proxy.as_ref())
}

/// Where requests to an upstream go, paths aside.
fn place(upstream: &Upstream) -> (String, Option<&ProxyAddress>) {
    let place = match &upstream.target {
        Target::Rpc(rpc) => rpc.to_string(),
        Target::Address(address) => address.url().map(|url| url.origin()).unwrap_or_default(),
    };
    (place, upstream.proxy.as_ref())
}

/// Whether requests to an upstream go another way than before.
fn is_moved(before: Option<&Upstream>, after: &Upstream) -> bool {
    before.is_none_or(|before| (&before.target, &before.proxy) != (&after.target, &after.proxy))
}
