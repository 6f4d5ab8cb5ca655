//! Tokens, revoked nodes and the audit log over a real store.
#![cfg(test)]

use std::time::Duration;

use prost::Message as _;
use tempfile::TempDir;
use tokio::time::Instant;
use tyrscale_access::{
    AccessError, Audit, AuditFiles, Call, Gate, GateRules, Guard, NewToken, OtherPepper, Outcome, Peer,
    Pepper, Refusal, RevokedNodes, Role, Scope, Tokens, permission_of, verify_lines,
};
use tyrscale_model::Network;
use tyrscale_proto::v1::AuditRecord;
use tyrscale_store::{Store, StoreOptions, Table};
use tyrscale_tls::{Identity, PeerCertificate};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
const READ: &str = "/tyrscale.v1.NetworkService/ListNetworks";
const WRITE: &str = "/tyrscale.v1.ConfigurationService/Apply";

struct Place {
    store: Store,
    dir: TempDir,
}

impl Place {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).await.unwrap();
        Self { store, dir }
    }

    async fn tokens(&self) -> Tokens {
        let documents = self.store.documents(Table::Tokens);
        Tokens::open(documents, Pepper::new([3; 32])).await.unwrap()
    }

    async fn nodes(&self) -> RevokedNodes {
        RevokedNodes::open(self.store.documents(Table::Tokens))
            .await
            .unwrap()
    }

    async fn audit(&self) -> Audit {
        self.audit_with(0, None).await
    }

    async fn audit_with(&self, keep: u64, files: Option<AuditFiles>) -> Audit {
        let documents = self.store.documents(Table::Audit);
        let opened = Audit::open(&self.store, documents, &Pepper::new([3; 32]), (keep, files)).await;
        opened.unwrap().0
    }

    /// A gate with both rules on.
    async fn gate(&self, tokens: &Tokens) -> Gate {
        let rules = GateRules {
            tokens: true,
            certificates: true,
            rate: None,
        };
        Gate::new(rules, tokens.clone(), self.nodes().await)
    }
}

fn new(subject: &str, role: Role) -> NewToken {
    NewToken {
        subject: subject.to_owned(),
        role,
        scope: Scope::default(),
        lifetime: NewToken::LIFETIME,
    }
}

fn peer(certificate: Option<PeerCertificate>) -> Peer {
    Peer {
        address: "192.0.2.1:5".parse().unwrap(),
        certificate: certificate.map(Into::into),
    }
}

fn certificate(role: &str, node: &str) -> PeerCertificate {
    let identity: Identity = format!("spiffe://d/tyrscale/{role}/default/{node}")
        .parse()
        .unwrap();
    PeerCertificate {
        identity: Some(identity),
        serial: "0a".to_owned(),
        not_before: NOW - 10,
        not_after: NOW + 10,
    }
}

#[tokio::test]
async fn tokens_outlive_a_restart_and_only_their_hashes_are_stored() {
    let place = Place::new().await;
    let tokens = place.tokens().await;
    let (token, text) = tokens.create(new("ci", Role::Editor), "me", NOW).await.unwrap();
    assert_eq!(tokens.verify(&text, NOW + 125).unwrap().id, token.id);
    tokens.note_uses().await.unwrap();
    let again = place.tokens().await;
    assert_eq!(again.verify(&text, NOW).unwrap().role, Role::Editor);
    assert_eq!(again.list(NOW, false)[0].last_use, Some((NOW + 125) / 60 * 60));
    let shown = text.reveal();
    let (_, secret) = shown.rsplit_once('_').unwrap();
    let bytes: Vec<u8> = secret
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    for document in place
        .store
        .documents(Table::Tokens)
        .list("", "", 100)
        .await
        .unwrap()
    {
        assert!(!document.value.windows(32).any(|window| window == bytes));
        assert!(!String::from_utf8_lossy(&document.value).contains(secret));
    }
    let other_pepper = Tokens::open(place.store.documents(Table::Tokens), Pepper::new([4; 32])).await;
    assert!(other_pepper.unwrap().verify(&text, NOW).is_none());
}

#[tokio::test]
async fn another_pepper_is_refused_while_tokens_live_and_taken_when_theirs_is_lost() {
    let place = Place::new().await;
    let tokens = place.tokens().await;
    tokens.check_pepper(OtherPepper::Refused, NOW).await.unwrap();
    let (_, text) = tokens.create(new("ops", Role::Admin), "test", NOW).await.unwrap();
    assert_eq!(tokens.check_pepper(OtherPepper::Refused, NOW).await.unwrap(), 0);

    let other = Tokens::open(place.store.documents(Table::Tokens), Pepper::new([4; 32]))
        .await
        .unwrap();
    let refused = other.check_pepper(OtherPepper::Refused, NOW).await.unwrap_err();
    assert!(matches!(refused, AccessError::OtherPepper(1)), "{refused}");
    assert!(refused.to_string().contains("--renew-pepper"));
    assert!(tokens.verify(&text, NOW).is_some(), "nothing was changed");
    assert_eq!(other.unusable(NOW).await.unwrap().len(), 1);
    assert!(tokens.unusable(NOW).await.unwrap().is_empty());

    assert_eq!(other.check_pepper(OtherPepper::Renewed, NOW).await.unwrap(), 1);
    assert!(!other.has_admin(NOW), "so that a new one is made");
    let (_, text) = other.create(new("ops", Role::Admin), "test", NOW).await.unwrap();
    assert_eq!(other.check_pepper(OtherPepper::Renewed, NOW).await.unwrap(), 0);
    assert!(other.verify(&text, NOW).is_some());
}

#[tokio::test]
async fn a_token_dies_by_time_and_by_revocation() {
    let place = Place::new().await;
    let tokens = place.tokens().await;
    let (token, text) = tokens.create(new("ci", Role::Viewer), "me", NOW).await.unwrap();
    assert!(tokens.verify(&text, NOW + 90 * DAY - 1).is_some());
    assert!(tokens.verify(&text, NOW + 90 * DAY).is_none());
    let id = token.id.to_string();
    assert_eq!(tokens.revoke(&id, NOW + 5).await.unwrap().revoked, Some(NOW + 5));
    assert!(tokens.verify(&text, NOW + 6).is_none());
    assert!(place.tokens().await.verify(&text, NOW + 6).is_none());
    assert!(matches!(
        tokens.rotate(&id, "me", NOW + 6).await,
        Err(AccessError::Dead)
    ));
    assert!(tokens.list(NOW + 6, false).is_empty());
    assert_eq!(tokens.list(NOW + 6, true).len(), 1);
    // After a while nobody asks for it any more.
    tokens
        .create(new("other", Role::Viewer), "me", NOW + 40 * DAY)
        .await
        .unwrap();
    assert!(
        tokens
            .list(NOW, true)
            .iter()
            .all(|token| token.subject == "other")
    );
}

#[tokio::test]
async fn a_subject_has_two_live_tokens_at_most_and_fields_are_checked() {
    let place = Place::new().await;
    let tokens = place.tokens().await;
    for _ in 0..2 {
        tokens.create(new("ci", Role::Viewer), "me", NOW).await.unwrap();
    }
    let third = tokens.create(new("ci", Role::Viewer), "me", NOW).await;
    assert!(matches!(third, Err(AccessError::TooMany(_))));
    let eternal = NewToken {
        lifetime: NewToken::MAX_LIFETIME + Duration::from_secs(1),
        ..new("a", Role::Viewer)
    };
    let bounded_admin = NewToken {
        scope: Scope::of(["eth"]).unwrap(),
        ..new("a", Role::Admin)
    };
    for (bad, wrong) in [
        (eternal, "lifetime"),
        (bounded_admin, "scope"),
        (new("a b", Role::Viewer), "subject"),
    ] {
        let refused = tokens.create(bad, "me", NOW).await;
        assert!(
            matches!(refused, Err(AccessError::Invalid { field, .. }) if field == wrong),
            "{wrong}"
        );
    }
}

/// A token as it was read before there were labels.
#[derive(Clone, PartialEq, prost::Message)]
struct RowWithoutLabels {
    #[prost(string, tag = "2")]
    subject: String,
    #[prost(string, repeated, tag = "4")]
    networks: Vec<String>,
}

#[tokio::test]
async fn a_reader_that_knows_no_labels_takes_a_token_with_some_for_one_of_nothing() {
    let place = Place::new().await;
    let tokens = place.tokens().await;
    let labels = [("team".to_owned(), "a".to_owned())];
    let labelled = |scope: Scope| scope.with_labels(labels.clone().into()).unwrap();
    let scopes = [
        ("labels", labelled(Scope::default())),
        ("both", labelled(Scope::of(["eth", "pol"]).unwrap())),
        ("networks", Scope::of(["eth"]).unwrap()),
    ];
    for (subject, scope) in scopes.clone() {
        let scoped = NewToken {
            scope,
            ..new(subject, Role::Editor)
        };
        let (token, _) = tokens.create(scoped, "me", NOW).await.unwrap();
        tokens.revoke(&token.id.to_string(), NOW).await.unwrap();
    }
    for document in place
        .store
        .documents(Table::Tokens)
        .list("", "", 100)
        .await
        .unwrap()
    {
        let row = RowWithoutLabels::decode(&*document.value).unwrap();
        let networks = if row.subject == "networks" {
            "eth"
        } else {
            Network::NOWHERE
        };
        assert_eq!(row.networks, [networks], "{}", row.subject);
    }
    let read = place.tokens().await.list(NOW, true);
    for (subject, scope) in scopes {
        let token = read.iter().find(|token| token.subject == subject).unwrap();
        assert_eq!(token.scope, scope);
    }
}

#[tokio::test]
async fn the_gate_knows_users_by_token_and_nodes_by_certificate() {
    let place = Place::new().await;
    let tokens = place.tokens().await;
    let (_, text) = tokens.create(new("ci", Role::Viewer), "me", NOW).await.unwrap();
    let gate = place.gate(&tokens).await;
    let header = format!("Bearer {}", text.reveal());
    let header = Some(header.as_bytes());
    let admit = |name: &str, peer: &Peer, authorization| {
        let admitted = gate.admit(permission_of(name), peer, authorization, (NOW, Instant::now()));
        admitted
            .map(|caller| caller.subject().to_owned())
            .map_err(|refused| refused.refusal)
    };
    let stream = "/tyrscale.v1.DiscoveryService/StreamConfig";
    let nobody = peer(None);
    assert_eq!(admit(READ, &nobody, header), Ok("ci".to_owned()));
    assert_eq!(admit(READ, &nobody, None), Err(Refusal::NoToken));
    assert_eq!(admit(READ, &nobody, Some(b"Basic x")), Err(Refusal::BadToken));
    assert!(matches!(
        admit(WRITE, &nobody, header),
        Err(Refusal::Denied { .. })
    ));
    assert!(matches!(
        admit(stream, &nobody, header),
        Err(Refusal::Denied { .. })
    ));
    assert_eq!(admit(stream, &nobody, None), Err(Refusal::NoCertificate));
    assert_eq!(
        admit("/tyrscale.v1.NoService/No", &nobody, header),
        Err(Refusal::Unknown)
    );
    assert_eq!(
        admit("/grpc.health.v1.Health/Check", &nobody, None),
        Ok("anonymous".to_owned())
    );
    let gateway = peer(Some(certificate("gateway", "gw-1")));
    assert_eq!(admit(stream, &gateway, None), Ok("gw-1".to_owned()));
    assert!(matches!(admit(READ, &gateway, None), Err(Refusal::Denied { .. })));
    // Somebody with a certificate may still be somebody with a token.
    assert_eq!(admit(READ, &gateway, header), Ok("ci".to_owned()));
    let expired = PeerCertificate {
        not_after: NOW,
        ..certificate("gateway", "gw-1")
    };
    assert_eq!(admit(stream, &peer(Some(expired)), None), Err(Refusal::Expired));
}

#[tokio::test]
async fn a_revoked_nodes_certificates_up_to_then_are_refused_and_later_ones_are_good() {
    let place = Place::new().await;
    let nodes = place.nodes().await;
    nodes.revoke("gw-1", "stolen", "me", NOW).await.unwrap();
    let again = place.nodes().await;
    let begins = |not_before| PeerCertificate {
        not_before,
        ..certificate("gateway", "gw-1")
    };
    for nodes in [&nodes, &again] {
        assert!(nodes.refuses(&begins(NOW)));
        assert!(!nodes.refuses(&begins(NOW + 1)));
        assert!(!nodes.refuses(&certificate("gateway", "gw-2")));
    }
    assert!(nodes.revoke("a b", "", "me", NOW).await.is_err());
}

async fn attempt(guard: &Guard, name: &str, authorization: Option<&str>) -> Result<(), Refusal> {
    let peer = peer(None);
    let call = Call {
        name,
        rule: permission_of(name),
        peer: &peer,
        authorization: authorization.map(str::as_bytes),
        request_id: Some(b"request-1"),
    };
    guard.run(call, async {}, |()| Outcome::Done).await.map(drop)
}

/// A log of three records: two refusals and a write.
async fn log(place: &Place) -> (Audit, Guard) {
    let tokens = place.tokens().await;
    let now = tyrscale_access::unix_now();
    let (_, text) = tokens.create(new("ci", Role::Editor), "me", now).await.unwrap();
    let bearer = format!("Bearer {}", text.reveal());
    let audit = place.audit().await;
    let guard = Guard::new(place.gate(&tokens).await.into(), audit.clone());
    attempt(&guard, READ, None).await.unwrap_err();
    attempt(&guard, WRITE, Some(&bearer)).await.unwrap();
    attempt(&guard, READ, Some(&bearer)).await.unwrap();
    attempt(&guard, WRITE, Some("Bearer x")).await.unwrap_err();
    (audit, guard)
}

#[tokio::test]
async fn writes_and_refusals_are_written_down_and_reads_are_not() {
    let place = Place::new().await;
    let (audit, _guard) = log(&place).await;
    let records = audit.list(1, 100).await.unwrap();
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.sequence, record.subject.as_str(), record.outcome()))
        .collect();
    assert_eq!(
        told,
        [
            (1, "anonymous", Outcome::Unauthenticated),
            (2, "ci", Outcome::Done),
            (3, "anonymous", Outcome::Unauthenticated)
        ]
    );
    assert_eq!(records[1].request_id, "request-1");
    assert_eq!(audit.verify(None).await.unwrap().broken, None);
    // The next start goes on where this one ended.
    let reopened = place.audit().await;
    assert_eq!(reopened.newest(), 3);
    assert_eq!(reopened.list(2, 1).await.unwrap()[0].sequence, 2);
    drop(place.dir);
}

#[tokio::test]
async fn a_changed_a_missing_and_a_cut_record_show() {
    let documents = |place: &Place| place.store.documents(Table::Audit);
    let key = |sequence: u64| format!("record/{sequence:020}");

    let place = Place::new().await;
    let (audit, _guard) = log(&place).await;
    let stored = documents(&place).get(&key(2)).await.unwrap().unwrap();
    let mut record = AuditRecord::decode(stored.value).unwrap();
    record.subject = "somebody else".to_owned();
    documents(&place)
        .put(&key(2), record.encode_to_vec())
        .await
        .unwrap();
    assert_eq!(audit.verify(None).await.unwrap().broken.unwrap().0, 2);

    for (missing, broken) in [(1, 1), (2, 2), (3, 3)] {
        let place = Place::new().await;
        let (audit, _guard) = log(&place).await;
        documents(&place).delete(&key(missing)).await.unwrap();
        let verdict = audit.verify(None).await.unwrap();
        assert_eq!(verdict.broken.unwrap().0, broken, "without {missing}");
    }
}

#[tokio::test]
async fn many_attempts_at_once_make_one_chain() {
    let place = Place::new().await;
    let (audit, guard) = log(&place).await;
    let attempts = (0..100).map(|_| {
        let guard = guard.clone();
        tokio::spawn(async move {
            guard
                .refused(&caller(), READ, &Refusal::NoToken, String::new())
                .await;
        })
    });
    for attempt in attempts.collect::<Vec<_>>() {
        attempt.await.unwrap();
    }
    let verdict = audit.verify(None).await.unwrap();
    assert_eq!((verdict.records, verdict.broken), (103, None));
}

fn caller() -> tyrscale_access::Caller {
    tyrscale_access::Caller {
        who: tyrscale_access::Who::Anonymous,
        credential: String::new(),
        peer: "192.0.2.1:5".to_owned(),
        expires: None,
    }
}

/// Writes so many refused attempts, one after the other.
async fn attempts(guard: &Guard, count: usize) {
    for _ in 0..count {
        guard
            .refused(&caller(), READ, &Refusal::NoToken, String::new())
            .await;
    }
}

#[tokio::test]
async fn the_oldest_records_are_removed_and_the_chain_is_proved_from_there() {
    let place = Place::new().await;
    let audit = place.audit_with(100, None).await;
    let gate = place.gate(&place.tokens().await).await;
    let guard = Guard::new(gate.into(), audit.clone());
    attempts(&guard, 60).await;
    let known = {
        let record = audit.list(50, 1).await.unwrap().remove(0);
        (record.sequence, record.hash.as_ref().try_into().unwrap())
    };
    attempts(&guard, 240).await;
    let verdict = audit.verify(None).await.unwrap();
    assert_eq!((verdict.sequence, verdict.broken), (300, None));
    assert!(
        (100..148).contains(&verdict.records),
        "{} are kept",
        verdict.records
    );
    let first = audit.list(1, 1).await.unwrap().remove(0).sequence;
    assert_eq!(first, 301 - verdict.records);
    assert!(
        matches!(audit.verify(Some(known)).await, Err(AccessError::Invalid { .. })),
        "it cannot be told any more"
    );
    // A record that should be kept and is not shows, also the first of them.
    let documents = place.store.documents(Table::Audit);
    documents.delete(&format!("record/{first:020}")).await.unwrap();
    assert_eq!(audit.verify(None).await.unwrap().broken.unwrap().0, first);
}

#[tokio::test]
async fn lines_go_into_files_of_bounded_size_and_number_with_one_chain() {
    let place = Place::new().await;
    let path = place.dir.path().join("audit.jsonl");
    let files = AuditFiles {
        path: path.clone(),
        max_bytes: 4096,
        keep: 3,
    };
    let listed = || {
        let entries = std::fs::read_dir(place.dir.path()).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with("audit.jsonl")
            })
            .collect();
        files.sort();
        files
    };
    for _ in 0..2 {
        // The second one goes on in the file of the first.
        let audit = place.audit_with(0, Some(files.clone())).await;
        let gate = place.gate(&place.tokens().await).await;
        attempts(&Guard::new(gate.into(), audit), 100).await;
    }
    let files = listed();
    assert_eq!(files.len(), 4, "{files:?}");
    let sizes = files.iter().map(|file| file.metadata().unwrap().len());
    assert!(sizes.max().unwrap() <= 4096);
    let pepper = Pepper::new([3; 32]);
    let verdict = verify_lines(&files, &pepper).unwrap();
    assert_eq!((verdict.sequence, verdict.broken), (200, None));
    let without = [files[0].clone(), files[1].clone(), files[3].clone()];
    assert!(
        verify_lines(&without, &pepper).unwrap().broken.is_some(),
        "a file is missing"
    );
    assert!(
        verify_lines(&files, &Pepper::new([4; 32]))
            .unwrap()
            .broken
            .is_some()
    );
    let text = std::fs::read_to_string(&files[2]).unwrap();
    std::fs::write(&files[2], text.replacen("192.0.2.1", "192.0.2.2", 1)).unwrap();
    assert!(
        verify_lines(&files, &pepper).unwrap().broken.is_some(),
        "a line was changed"
    );
}

#[tokio::test]
async fn what_the_store_does_not_take_is_a_line_outside_of_the_chain() {
    let place = Place::new().await;
    let files = AuditFiles {
        path: place.dir.path().join("audit.jsonl"),
        max_bytes: 4096,
        keep: 3,
    };
    let audit = place.audit_with(0, Some(files.clone())).await;
    let gate = place.gate(&place.tokens().await).await;
    let guard = Guard::new(gate.into(), audit);
    attempts(&guard, 3).await;
    place.store.clone().close().await;
    attempts(&guard, 2).await;
    let sequences = || -> Vec<u64> {
        let text = std::fs::read_to_string(&files.path).unwrap();
        let lines = text.lines().map(serde_json::from_str::<serde_json::Value>);
        lines
            .map(|line| line.unwrap()["sequence"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(sequences(), [1, 2, 3, 0, 0]);
    let verdict = verify_lines(std::slice::from_ref(&files.path), &Pepper::new([3; 32])).unwrap();
    assert_eq!((verdict.sequence, verdict.broken), (3, None));
    // However long that lasts, the file is bounded and the chain in it stays.
    attempts(&guard, 100).await;
    assert!(files.path.metadata().unwrap().len() <= 2 * files.max_bytes);
    assert_eq!(sequences()[..3], [1, 2, 3]);
}
