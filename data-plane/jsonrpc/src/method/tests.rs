use super::*;

#[test]
fn the_table_is_in_strict_order_and_numbered_without_gaps() {
    assert!(table::KNOWN.is_sorted_by(|a, b| a.label < b.label));
    assert_eq!(all().len(), COUNT);
    for (at, method) in all().iter().enumerate() {
        assert_eq!(usize::from(method.index), at);
    }
}

#[test]
fn every_known_method_is_found_under_its_own_name() {
    for method in all() {
        assert_eq!(lookup(method.label), method);
    }
}

#[test]
fn reads_and_raw_transactions_may_be_repeated() {
    for name in [
        "eth_call",
        "eth_getLogs",
        "net_version",
        "trace_block",
        "eth_sendRawTransaction",
    ] {
        assert_eq!(lookup(name).replay, Replay::Safe, "{name}");
    }
}

#[test]
fn what_acts_with_the_nodes_own_keys_or_state_is_not_repeated() {
    for name in [
        "eth_sendTransaction",
        "eth_sign",
        "personal_unlockAccount",
        "debug_setHead",
        "eth_newFilter",
        "eth_getFilterChanges",
        "eth_getFilterLogs",
        "eth_subscribe",
    ] {
        assert_eq!(lookup(name).replay, Replay::Unsafe, "{name}");
    }
}

#[test]
fn only_what_reads_the_chain_may_race() {
    for (name, kind) in [
        ("eth_call", Kind::Read),
        ("eth_sendRawTransaction", Kind::Write),
        ("eth_sendTransaction", Kind::Write),
        ("eth_newFilter", Kind::Filter),
        ("eth_getFilterLogs", Kind::Filter),
        ("eth_subscribe", Kind::Subscription),
        ("admin_peers", Kind::Administration),
        ("eth_sign", Kind::Administration),
        ("nobody_knows", Kind::Other),
    ] {
        let method = lookup(name);
        assert_eq!(
            (method.kind, method.may_race()),
            (kind, kind == Kind::Read),
            "{name}"
        );
    }
}

#[test]
fn what_races_may_also_be_repeated() {
    assert!(
        all()
            .iter()
            .all(|method| !method.may_race() || method.replay == Replay::Safe)
    );
}

#[test]
fn a_lookup_without_a_result_is_suspicious_and_a_count_of_zero_is_not() {
    for name in [
        "eth_getBlockByNumber",
        "eth_getTransactionReceipt",
        "debug_traceTransaction",
    ] {
        assert_eq!(lookup(name).empty, Empty::Suspicious, "{name}");
    }
    for name in [
        "eth_getLogs",
        "eth_call",
        "eth_getBalance",
        "eth_syncing",
        "eth_getBlockTransactionCountByNumber",
    ] {
        assert_eq!(lookup(name).empty, Empty::Legitimate, "{name}");
    }
}

#[test]
fn unknown_methods_share_one_label_and_are_not_repeated() {
    for name in ["", "ETH_CALL", "eth_call ", "evm_mine", "zzz", "other"] {
        assert_eq!(lookup(name), other(), "{name}");
    }
    assert_eq!(
        (other().label, other().replay, other().block),
        (OTHER, Replay::Unsafe, BlockParam::None)
    );
}
