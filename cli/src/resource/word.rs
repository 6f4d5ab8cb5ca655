//! Enums as words. The words are those of the model.

use std::{fmt, str::FromStr};

use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParserFactory};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tyrscale_proto::v1;

/// A closed set of words.
pub(crate) trait Words: Copy + PartialEq + Default + Send + Sync + fmt::Debug + 'static {
    /// Every value with its word.
    const ALL: &'static [(Self, &'static str)];
}

/// A value that is written as its word.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Word<E>(pub(crate) E);

impl<E: Words + TryFrom<i32>> Word<E> {
    /// The word of a number on the wire; none for one that is not known.
    pub(crate) fn from_number(number: i32) -> Option<Self> {
        let value = E::try_from(number).ok()?;
        E::ALL
            .iter()
            .any(|(known, _)| *known == value)
            .then_some(Self(value))
    }
}

/// The number on the wire; what is not set is unspecified.
pub(crate) fn number<E: Words + Into<i32>>(word: Option<Word<E>>) -> i32 {
    word.map(|Word(value)| value).unwrap_or_default().into()
}

impl<E: Words> fmt::Display for Word<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = E::ALL.iter().find(|(value, _)| *value == self.0);
        f.write_str(known.map_or("unspecified", |(_, word)| word))
    }
}

impl<E: Words> FromStr for Word<E> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = E::ALL.iter().find(|(_, word)| *word == text);
        known.map(|(value, _)| Self(*value)).ok_or_else(|| {
            let words: Vec<&str> = E::ALL.iter().map(|(_, word)| *word).collect();
            format!("{text:?} must be one of [{}]", words.join(" "))
        })
    }
}

impl<E: Words> ValueParserFactory for Word<E> {
    type Parser = clap::builder::ValueParser;

    fn value_parser() -> Self::Parser {
        let words = E::ALL.iter().map(|(_, word)| *word);
        let parser = PossibleValuesParser::new(words);
        parser.try_map(|word| word.parse::<Self>()).into()
    }
}

impl<E: Words> Serialize for Word<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, E: Words> Deserialize<'de> for Word<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

macro_rules! words {
    ($($name:ident { $($value:ident),+ $(,)? })+) => {
        $(impl Words for v1::$name {
            const ALL: &'static [(Self, &'static str)] =
                &[$((Self::$value, tyrscale_model::$name::$value.as_str())),+];
        })+
    };
}

impl Words for v1::UpstreamProtocol {
    const ALL: &'static [(Self, &'static str)] = &[
        (Self::Unspecified, tyrscale_model::UpstreamProtocol::Auto.as_str()),
        (Self::Http1, tyrscale_model::UpstreamProtocol::Http1.as_str()),
        (Self::Http2, tyrscale_model::UpstreamProtocol::Http2.as_str()),
    ];
}

words! {
    Visibility { Private, Public }
    Collector {
        EthBlockNumber, NetPeers, EthSyncing, EthChainId, EthGasPrice, ClientVersion, FinalizedBlock, SafeBlock,
        TxpoolStatus, ArchiveDepth, Latency,
    }
    ReceiptsMethod {
        EthGetBlockReceipts, DebugGetRawReceipts, AlchemyGetTransactionReceipts, ParityGetBlockReceipts,
    }
    LoadBalancer { WeightRoundRobin, LeastLoad, FailoverPriority, Concurrent, P2cPeakEwma }
    HealthCheckType { EthBlockNumber, EthSyncing, Custom }
    WrongLogIndexes { Warn, Exclude }
    RecommendationStrategy {
        Custom, HighestBlock, AreaUnderTheCurve, RateLimit, AreaBlockNumber, AirUnderTheCurve, Latency, ErrorRate,
        Balanced, Cost,
    }
    RecommendationMode { Apply, Propose, Shadow }
    RecommendationPrior { Operator, Even }
}
