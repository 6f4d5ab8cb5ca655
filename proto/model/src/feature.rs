//! What a subscriber must understand to take a resource.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{Kind, ProxyAddress, Resource, Target, View};

/// A meaning that must not be passed over: a build that does not know it would take a resource for another than it is.
/// It goes over the wire as a word; whoever lacks one is not sent contents that need it. A field that may be passed over
/// needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feature {
    /// `${secret:NAME}` stands for a value that is sent beside the resource.
    Secrets,
    /// The headers of an rpc are set on every request to it.
    RpcHeaders,
    /// Requests to an rpc go through its proxy.
    EgressProxy,
}

/// The word names no feature of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no feature of this build")]
pub struct UnknownFeature;

impl Feature {
    /// Every feature of this build.
    pub const ALL: [Self; 3] = [Self::Secrets, Self::RpcHeaders, Self::EgressProxy];

    /// The word for it on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::RpcHeaders => "rpc-headers",
            Self::EgressProxy => "egress-proxy",
        }
    }

    /// Why a subscriber that lacks it is not sent what needs it.
    #[must_use]
    pub const fn lacked(self) -> &'static str {
        match self {
            Self::Secrets => "it does not understand references to secrets: upgrade it",
            Self::RpcHeaders => "it does not understand headers of rpcs: upgrade it",
            Self::EgressProxy => "it does not understand proxies of rpcs: upgrade it",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(word: &str) -> Result<Self, UnknownFeature> {
        let named = Self::ALL.into_iter().find(|feature| feature.as_str() == word);
        named.ok_or(UnknownFeature)
    }
}

/// A set of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(u8);

impl Features {
    /// The features of these words; words this build does not know are passed over.
    #[must_use]
    pub fn of_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        words.into_iter().filter_map(|word| word.parse().ok()).collect()
    }

    /// Those that `other` has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it is one of them.
    #[must_use]
    pub const fn contains(self, feature: Feature) -> bool {
        self.0 & feature.bit() != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL
            .into_iter()
            .filter(move |feature| self.contains(*feature))
    }

    /// Their words.
    #[must_use]
    pub fn words(self) -> Vec<String> {
        self.iter().map(|feature| feature.as_str().to_owned()).collect()
    }
}

impl FromIterator<Feature> for Features {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        Self(features.into_iter().fold(0, |bits, feature| bits | feature.bit()))
    }
}

impl Resource {
    /// What a subscriber must understand to take it.
    #[must_use]
    pub fn features(&self) -> Features {
        let mut needed = Features::default();
        let mut need =
            |feature, is_needed: bool| needed.0 |= if is_needed { Feature::bit(feature) } else { 0 };
        match self {
            Self::Rpc(rpc) => {
                let mut proxied = rpc.egress_proxy.iter().flat_map(ProxyAddress::secrets);
                let mut named = rpc.url.secrets().chain(rpc.headers.secrets());
                need(
                    Feature::Secrets,
                    named.next().is_some() || proxied.next().is_some(),
                );
                need(Feature::RpcHeaders, !rpc.headers.is_empty());
                need(Feature::EgressProxy, rpc.egress_proxy.is_some());
            }
            Self::Upstream(upstream) => {
                let in_path = match &upstream.target {
                    Target::Address(address) => address.secrets().next().is_some(),
                    Target::Rpc(_) => false,
                };
                let mut proxied = upstream.proxy.iter().flat_map(ProxyAddress::secrets);
                let mut named = upstream.headers.secrets();
                let refers = in_path || named.next().is_some() || proxied.next().is_some();
                need(Feature::Secrets, refers);
            }
            Self::Network(_)
            | Self::Secret(_)
            | Self::Plugin(_)
            | Self::Route(_)
            | Self::Recommendation(_) => {}
        }
        needed
    }
}

/// How many resources of each kind need a feature.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needed(BTreeMap<(Kind, Feature), usize>);

impl Needed {
    pub(crate) fn add(&mut self, resource: &Resource, kind: Kind) {
        for feature in resource.features().iter() {
            *self.0.entry((kind, feature)).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, resource: &Resource, kind: Kind) {
        for feature in resource.features().iter() {
            let need = (kind, feature);
            match self.0.get_mut(&need) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.0.remove(&need)),
            }
        }
    }

    /// Which kinds need which.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Kind, Feature)> {
        self.0.keys().copied()
    }

    /// Those that the kinds of a view need.
    pub(crate) fn of(&self, view: View) -> Features {
        let seen = self.iter().filter(|(kind, _)| view.contains(*kind));
        seen.map(|(_, feature)| feature).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_a_word_of_its_own_and_unknown_words_are_passed_over() {
        for feature in Feature::ALL {
            assert_eq!(feature.as_str().parse(), Ok(feature));
        }
        let some = Features::of_words(["terse", "secrets", "telepathy"]);
        assert_eq!(some.words(), ["secrets"]);
        let all: Features = Feature::ALL.into_iter().collect();
        assert_eq!(all.without(some).words(), ["rpc-headers", "egress-proxy"]);
        assert_eq!(some.without(all), Features::default());
    }
}
