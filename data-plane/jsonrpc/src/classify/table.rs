//! The table: the first rule that an answer meets gives its class, so the order is part of the meaning.
//!
//! That a method is unknown comes before all: nodes repeat its name, and the client chose it. Vendors' own rules come
//! before those for all. Among these, what is said comes before codes, and codes before
//! HTTP statuses, for they are in this order less and less precise: a 500 with "execution reverted" is a revert.
//! What contracts, users and pages can put into a text must not look like an upstream's failure: reverts come
//! first of all, and pages are searched only for what a web server says.

use super::rule::{Code, Methods, Rule, Shape, Text, coded, says, status, when};
use crate::class::Class;
use Text::{All, Has, Whole, Words};

mod vendors;

/// An answer that names the method it does not know.
const UNKNOWN_METHOD: &[Rule] = &[
    coded(Class::UnsupportedMethod, "unknown method named", &[-32601]).said(All(
        "method & does not exist | method & not found | method & not available | method & not supported",
    )),
];

/// The rules in their order.
pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    [
        UNKNOWN_METHOD,
        vendors::RULES,
        EXECUTION,
        LIMITS,
        DATA,
        TRANSACTIONS,
        METHODS,
        OTHERS,
        CODES,
        STATUSES,
    ]
    .into_iter()
    .flatten()
}

/// What the virtual machine says, where no other text can be meant.
const EXECUTION: &[Rule] = &[
    coded(Class::Reverted, "code of a revert", &[3]),
    says(
        Class::Reverted,
        "revert",
        Has("execution reverted | vm exception while processing transaction | transaction reverted | reverted 0x"),
    )
    .shaped(Shape::ERROR.or(Shape::BARE)),
];

/// What an upstream does not do so much of.
const LIMITS: &[Rule] = &[
    says(
        Class::RangeTooLarge,
        "range or result too large",
        Has("try with this block range | block range is too wide | this block range should work | range too large \
            | exceeds the range | max block range | max range | logs over more | response size should not \
            | log response size exceeded | returned more than | exceeds max results | range is too large \
            | too large, max is | response too large | query exceeds limit | limit the query to \
            | maximum block range | range limit exceeded | too many results | try paginating \
            | eth_getlogs is limited | requested range exceeds maximum rpc range limit | ranges over"),
    ),
    says(
        Class::RangeTooLarge,
        "range or result too large, in parts",
        All("maximum & blocks distance | query timeout of & seconds exceeded | eth_getlogs & limited to a \
            | up to a & block range"),
    ),
    says(Class::RangeTooLarge, "too big", Has("is too big")).unless("transaction | nonce | gas | body | batch"),
    says(
        Class::BatchRefused,
        "batch too large",
        All("batch & too large | batch & too long | batch & too big | batch & limit | batch & maximum \
            | batch & not supported | batch & not allowed"),
    )
    .shaped(Shape::ERROR.or(Shape::BARE)),
    says(
        Class::TooManyAddresses,
        "too many addresses or topics",
        All("specify less number of address | addresses or topics per search position | filters & current limit is"),
    ),
    says(Class::SenderLimited, "sequencer's limit of a sender", Has("sender is over rate limit"))
        .only(Methods::Send),
    says(
        Class::Billing,
        "plan used up",
        Has("reached the free tier | monthly capacity limit | limit for your current plan | /billing \
            | upgrade your plan | upgrade to paid tier | upgrade from discover plan | there are not enough cups"),
    ),
    says(
        Class::TransactionRejected,
        "gas limit of a block or a call",
        Has("gas limit exceeded | exceeds block gas limit | gas required exceeds | gas limit reached \
            | block gas limit has been exceeded"),
    )
    .shaped(Shape::ERROR.or(Shape::BARE)),
    says(
        Class::RateLimited,
        "capacity",
        Has("requests limited to | has exceeded | exceeded the quota | too many requests | under too much load \
            | request limit reached | no server available | reached the quota | upgrade your tier | rate limit \
            | rate-limit | ratelimit | limit exceeded | exceeded its requests per second capacity \
            | exceeded its concurrent requests capacity | reached maximum qps limit | maximum cups limit \
            | connection rate limits exceeded | exceeded project rate limit | requestratelimitexceeded \
            | public rpc rate limit hit | public endpoint rate limit | code = resourceexhausted \
            | credits limited to | over rate limit | error code: 1015"),
    )
    .unless("gas limit | code size | call depth")
    .or_page(),
];

/// What an upstream does not have.
const DATA: &[Rule] = &[
    says(
        Class::UnsupportedTag,
        "block tag not served",
        Has(
            "pending block not found | pending block not available | pending block is not available \
            | safe block not found | safe block not available | finalized block not found \
            | finalized block not available | not a supported commitment | malformed blocknumber",
        ),
    ),
    says(
        Class::UnsupportedTag,
        "block tag not known",
        All("finalized & is not a supported | pending & is not a supported | safe & is not a supported"),
    ),
    says(
        Class::MissingData,
        "data not there",
        Has(
            "missing trie node | header not found | could not find block | unknown block \
            | height must be less than or equal | invalid blockhash finalized | expect block number from id \
            | block not found | block height passed is invalid | cannot query unfinalized \
            | height is not available | genesis is not traceable | could not find finalizeblock \
            | no historical rpc | transaction not found | cannot find transaction | after last accepted block \
            | no state available | trie does not | greater than latest | not currently canonical \
            | requested data is not available | request beyond head block | body not found for block \
            | header for hash not found | state at block | node state is pruned \
            | state does not maintain archive data | logs are not being recorded | leveldb: not found \
            | pebble: not found | transaction indexing is in progress | newestblock: block is not available \
            | failed to load state at height | account changes purged",
        ),
    ),
    says(
        Class::MissingData,
        "data not there, in parts",
        All(
            "blocks specified & cannot be found | historical state & not available | historical state & unavailable \
            | block & cleaned up",
        ),
    ),
    says(
        Class::NodeTimeout,
        "time limit of the node",
        Has("execution timeout | execution aborted (timeout | context deadline exceeded | request timed out"),
    ),
];

/// What is wrong with a transaction or a call.
const TRANSACTIONS: &[Rule] = &[
    says(
        Class::Reverted,
        "revert, by other words",
        Has("reverted | vm execution error | transaction: revert | vm exception"),
    )
    .shaped(Shape::ERROR.or(Shape::BARE)),
    says(Class::AmbiguousRequest, "gas above a node's cap, sent", Has("intrinsic gas too high")).only(Methods::Send),
    says(Class::InvalidRequest, "gas above what a call may use", Has("intrinsic gas too high")),
    says(
        Class::Halted,
        "halt of the virtual machine",
        Has("evm error: | invalid opcode | invalidfeopcode | bad instruction | invalid jump destination \
            | bad jump destination | stack underflow | stackunderflow | stack limit reached | max call depth exceeded \
            | max code size exceeded | max initcode size exceeded | gas uint64 overflow | write protection"),
    )
    .shaped(Shape::ERROR.or(Shape::BARE)),
    says(
        Class::AlreadyKnown,
        "transaction already known",
        Has("already known | alreadyknown | already_exists | known transaction | already imported \
            | transaction already in mempool | tx already in mempool | already in the mempool \
            | transaction already exists | already have transaction | already exists in mempool"),
    )
    .only(Methods::Send),
    says(
        Class::NonceTooLow,
        "nonce used",
        Has("nonce too low | nonce is too low | nonce has already been used"),
    ),
    says(
        Class::Underpriced,
        "a better transaction has the nonce",
        Has("existing transaction had higher priority | newer transaction had higher priority \
            | transaction fee too low | replacement transaction underpriced | could not replace existing tx"),
    ),
    says(Class::Underpriced, "rejected by the pool", Whole("rejected")).only(Methods::Send),
    says(
        Class::PoolFull,
        "pool full or closed",
        Has("txpool is full | txpool disabled | queued sub-pool is full"),
    ),
    says(Class::FeeCap, "fee above a node's cap", Has("exceeds the configured cap")),
    says(
        Class::AmbiguousRequest,
        "no money for a trace",
        Has("insufficient funds | insufficient balance"),
    )
    .only(Methods::Trace),
    says(Class::InsufficientFunds, "no money", Has("insufficient funds | insufficient balance")),
    says(
        Class::TransactionRejected,
        "transaction against the rules",
        Has("out of gas | gas too low | intrinsicgas | max fee per gas less than block base fee \
            | max priority fee per gas higher than max fee per gas | tip above fee cap"),
    )
    .shaped(Shape::ERROR.or(Shape::BARE)),
    says(Class::AmbiguousRequest, "another chain than the transaction's", Has("invalid chain id, expected"))
        .only(Methods::Send),
    says(Class::WrongChain, "another chain", Has("invalid chain id, expected | apikey is on another chain")),
    says(
        Class::BadTransaction,
        "transaction cannot be read",
        Has("typed transaction too short | transaction too short | rlp: expected input list \
            | rlp: input string too short | rlp: value size exceeds | rlp: element is larger \
            | invalid transaction | transaction type not supported | invalid chain id for signer | invalid sender"),
    )
    .unless("hash"),
];

/// Whether the method, and the caller, are served.
const METHODS: &[Rule] = &[
    says(Class::Server, "handler crashed", Has("method handler crashed")),
    says(
        Class::UnsupportedMethod,
        "method not served",
        Has(
            "unsupported method | method is not whitelisted | not allowed to access method \
            | is not included in your current plan | containing module is disabled \
            | no backends available for method | method is not allowed | notifications not supported \
            | access to archival, debug, or trace data is not included",
        ),
    ),
    says(
        Class::Unauthorized,
        "credentials refused",
        Has(
            "not allowed to access | invalid api key | api key not found | key is inactive | unauthorized \
            | must be authenticated",
        ),
    ),
    says(
        Class::UnsupportedMethod,
        "method or module missing",
        All(
            "not found & method | does not exist & method | not available & method | is disabled & method \
            | not found & module | does not exist & module | not available & module | is disabled & module \
            | not implemented & method",
        ),
    ),
    says(
        Class::MissingData,
        "header, block, transaction or state missing",
        All(
            "not found & header | not found & block | not found & transaction | not found & state \
            | does not exist & header | does not exist & block | does not exist & transaction | does not exist & state \
            | not available & header | not available & block | not available & transaction | not available & state",
        ),
    ),
    says(Class::UnsupportedMethod, "not supported", Has("not supported"))
        .unless("block | tag | param | type | transaction | filter | token"),
];

/// What else is said.
const OTHERS: &[Rule] = &[
    coded(Class::UnsupportedMethod, "code of an unknown method", &[-32601]),
    says(
        Class::AmbiguousRequest,
        "something missing",
        Has("not found | does not exist | not available | is disabled"),
    )
    .shaped(Shape::ERROR.or(Shape::BARE))
    .unless("404"),
    says(
        Class::AmbiguousRequest,
        "a part of the request not supported",
        All(
            "not supported & block | not supported & tag | not supported & param | not supported & type \
            | not supported & transaction | not supported & filter | not supported & token",
        ),
    )
    .shaped(Shape::ERROR.or(Shape::BARE)),
    says(
        Class::AmbiguousRequest,
        "what implementations disagree on",
        Has("tx of type | invalid type: map, expected blocknumber | validation errors in batch"),
    ),
    says(
        Class::InvalidRequest,
        "parameters wrong for certain",
        Has("param is required | invalid request | validation errors | invalid argument | invalid params \
            | bad request input parameters"),
    )
    .shaped(Shape::ERROR.or(Shape::BARE))
    .code(Code::NotIn(&[-32602, -32600])),
    says(
        Class::Server,
        "proxy without its server",
        Has("invalid character '<' | 404 not found | 502 bad gateway | 503 service unavailable \
            | 504 gateway timeout | connection refused | connection reset | connection prematurely closed \
            | server shutting down | handshake timed out | upstream connect error | http code: 5 | http code: 4"),
    )
    .shaped(Shape::ERROR.or(Shape::BARE)),
    says(Class::Server, "connection closed", Words("eof")).shaped(Shape::ERROR.or(Shape::BARE)),
    says(
        Class::UnsupportedMethod,
        "gRPC: unimplemented",
        Has("code = unimplemented"),
    ),
    says(Class::InvalidRequest, "gRPC: invalid argument", Has("code = invalidargument"))
        .shaped(Shape::ERROR.or(Shape::BARE)),
    says(Class::NodeTimeout, "gRPC: deadline", Has("code = deadlineexceeded")),
    says(
        Class::Unauthorized,
        "gRPC: caller refused",
        Has("code = unauthenticated | code = permissiondenied"),
    ),
    says(Class::MissingData, "gRPC: not there", Has("code = notfound | code = outofrange")),
    says(
        Class::Server,
        "gRPC: failure",
        Has("code = internal | code = unknown | code = unavailable"),
    ),
];

/// Codes alone. Sources: JSON-RPC 2.0, section 5.1; EIP-1474; HTTP statuses that vendors give as codes.
const CODES: &[Rule] = &[
    coded(
        Class::TransactionRejected,
        "code of a rejected transaction",
        &[-32003],
    ),
    coded(
        Class::UnsupportedMethod,
        "code of a method not supported",
        &[-32004],
    ),
    coded(Class::RateLimited, "code of a limit", &[-32005, 429]),
    coded(Class::Server, "code of a failure", &[-32603, 500, 502, 503, 504]),
    coded(Class::Billing, "code of a bill", &[402]),
    coded(Class::Unauthorized, "code of a refused caller", &[401, 403]),
    status(
        Class::InvalidRequest,
        "a 400 or 413 that is a JSON-RPC error",
        &[(400, 400), (413, 413)],
    )
    .shaped(Shape::ERROR)
    .code(Code::Other(&[])),
    coded(
        Class::AmbiguousRequest,
        "code of a wrong request",
        &[-32600, -32602, -32700, -32001],
    ),
];

/// HTTP statuses, and what is left.
const STATUSES: &[Rule] = &[
    status(Class::Billing, "payment required", &[(402, 402)]),
    status(Class::RateLimited, "too many requests", &[(429, 429)]),
    status(Class::Unauthorized, "caller refused", &[(401, 401), (403, 403)]),
    status(
        Class::UnsupportedMethod,
        "HTTP method or type refused",
        &[(405, 405), (415, 415)],
    ),
    status(Class::RequestTooLarge, "content too large", &[(413, 413)]),
    status(Class::Server, "server error", &[(500, u16::MAX)]),
    status(
        Class::Refused,
        "any other status that is not good",
        &[(0, 199), (300, 499)],
    ),
    when(Class::Unknown, "an error that no rule knows").shaped(Shape::ERROR.or(Shape::BARE)),
    says(
        Class::Server,
        "a proxy's text",
        Has("upstream connect error | bad gateway | service unavailable"),
    )
    .shaped(Shape::TEXT),
    when(Class::BadBody, "no answer"),
];
