use super::*;

const UPSTREAM: &str = "00000000-0000-4000-8000-000000000002";
const RPC: &str = "00000000-0000-4000-8000-000000000003";
const PATIENCE: Duration = Duration::from_secs(15);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A report of a gateway about one upstream.
fn report(node: &str, boot: &str, uptime: u64, answered: u64) -> Report {
    let upstream = UpstreamReport {
        route: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        traffic: Traffic {
            requests: answered,
            answered,
            ..Traffic::default()
        },
        in_flight: 2,
        is_healthy: true,
        is_breaker_closed: false,
        head: Some((answered, seconds(1))),
    };
    Report {
        process: Process {
            node: node.to_owned(),
            boot: boot.to_owned(),
        },
        sequence: 1,
        uptime: seconds(uptime),
        is_partial: false,
        upstreams: BTreeMap::from([(UPSTREAM.parse().unwrap(), upstream)]),
        rpcs: BTreeMap::new(),
    }
}

fn answered(ledger: &Ledger, now: Instant) -> Option<u64> {
    let sight = ledger.sight(now);
    sight
        .upstreams
        .values()
        .next()
        .map(|sight| sight.traffic.answered)
}

#[test]
fn the_nodes_add_up_and_a_late_listener_counts_from_when_it_listens() {
    let t0 = Instant::now();
    let mut ledger = Ledger::new(t0);
    ledger.take(report("young", "a", 3, 10), 1, PATIENCE, t0).unwrap();
    ledger
        .take(report("old", "b", 9_000, 1_000), 2, PATIENCE, t0)
        .unwrap();
    assert_eq!(answered(&ledger, t0), Some(10));
    ledger
        .take(report("old", "b", 9_005, 1_007), 2, PATIENCE, t0)
        .unwrap();
    let sight = ledger.sight(t0 + seconds(2));
    let sight = sight.upstreams.values().next().unwrap();
    assert_eq!(sight.traffic.answered, 17);
    assert_eq!(
        (sight.nodes, sight.healthy, sight.breakers, sight.in_flight),
        (2, 2, 2, 4)
    );
    assert_eq!(sight.head, Some((1_007, seconds(3))));
}

#[test]
fn a_lost_report_loses_nothing_and_a_restart_counts_anew() {
    let t0 = Instant::now();
    let mut ledger = Ledger::new(t0);
    ledger.take(report("gw", "a", 1, 5), 1, PATIENCE, t0).unwrap();
    // The stream is lost and stands again; what was counted meanwhile is in the next report.
    let process = report("gw", "a", 1, 5).process;
    ledger.close(&process, 1);
    assert_eq!(answered(&ledger, t0), None);
    ledger.take(report("gw", "a", 600, 50), 2, PATIENCE, t0).unwrap();
    assert_eq!(answered(&ledger, t0), Some(50));
    // The end of the older stream comes late.
    ledger.close(&process, 1);
    assert_eq!(answered(&ledger, t0), Some(50));
    ledger.take(report("gw", "b", 2, 3), 3, PATIENCE, t0).unwrap();
    assert_eq!(answered(&ledger, t0), Some(53));
}

#[test]
fn a_silent_node_fades_and_its_upstreams_with_it() {
    let t0 = Instant::now();
    let mut ledger = Ledger::new(t0);
    ledger.take(report("gw", "a", 1, 5), 1, PATIENCE, t0).unwrap();
    assert_eq!(ledger.live(t0 + PATIENCE), 1);
    let later = t0 + PATIENCE + seconds(1);
    assert_eq!((ledger.live(later), answered(&ledger, later)), (0, None));
    // Another one reports it: what the first counted is forgotten.
    let mut other = report("other", "b", 1, 7);
    other.upstreams.clear();
    ledger.take(other, 2, PATIENCE, later).unwrap();
    ledger
        .take(report("other", "b", 1, 7), 2, PATIENCE, later)
        .unwrap();
    assert_eq!(answered(&ledger, later), Some(7));
}

#[test]
fn a_report_cut_short_keeps_what_it_leaves_out_for_a_while() {
    let t0 = Instant::now();
    let mut ledger = Ledger::new(t0);
    ledger.take(report("gw", "a", 1, 5), 1, PATIENCE, t0).unwrap();
    let cut = |is_partial| Report {
        is_partial,
        upstreams: BTreeMap::new(),
        ..report("gw", "a", 2, 5)
    };
    let mut now = t0;
    for _ in 0..3 {
        now += seconds(5);
        ledger.take(cut(true), 1, PATIENCE, now).unwrap();
        assert_eq!(answered(&ledger, now), Some(5));
    }
    now += seconds(5);
    ledger.take(cut(true), 1, PATIENCE, now).unwrap();
    assert_eq!(answered(&ledger, now), None);
    ledger.take(report("gw", "a", 9, 5), 1, PATIENCE, now).unwrap();
    ledger.take(cut(false), 1, PATIENCE, now).unwrap();
    assert_eq!(answered(&ledger, now), None);
}

#[test]
fn of_two_measurements_of_an_rpc_the_newer_counts() {
    let t0 = Instant::now();
    let mut ledger = Ledger::new(t0);
    for (node, height, at) in [("one", 1, 4), ("two", 2, 0)] {
        let sample = v1::RpcSample {
            rpc_id: RPC.to_owned(),
            block_height: Some(height),
            ..v1::RpcSample::default()
        };
        let mut report = report(node, "a", 1, 0);
        report.rpcs.insert(RPC.parse().unwrap(), sample);
        ledger.take(report, height, PATIENCE, t0 + seconds(at)).unwrap();
    }
    let sight = ledger.sight(t0 + seconds(5));
    let rpc = sight.rpcs.values().next().unwrap();
    assert_eq!((rpc.node.as_str(), rpc.sample.block_height), ("one", Some(1)));
    assert_eq!(rpc.age, seconds(1));
}
