//! Who is listed, flagged and forgotten.

use super::*;

fn node(id: &str, boot: &str) -> v1::Node {
    v1::Node {
        id: id.to_owned(),
        boot_id: boot.to_owned(),
        ..Default::default()
    }
}

fn join(fleet: &Fleet, id: &str, boot: &str) -> Membership {
    fleet.join(node(id, boot), "peer".to_owned()).unwrap()
}

#[test]
fn a_restarted_node_is_listed_once_and_its_reconnects_count() {
    let fleet = Fleet::new("s");
    drop(join(&fleet, "n", "one"));
    let _two = join(&fleet, "n", "two");
    let listed = fleet.list();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].reconnects, 1);
    assert!(!listed[0].duplicate_id);
}

#[test]
fn two_living_processes_of_one_id_are_both_listed_and_flagged() {
    let fleet = Fleet::new("s");
    let one = join(&fleet, "n", "one");
    let _two = join(&fleet, "n", "two");
    assert!(fleet.list().iter().all(|node| node.duplicate_id));
    assert_eq!(fleet.list().len(), 2);
    drop(one);
    assert_eq!(fleet.list().len(), 1);
    assert!(!fleet.get("n").unwrap().duplicate_id);
}

#[test]
fn a_replaced_stream_cannot_speak_for_its_successor() {
    let fleet = Fleet::new("s");
    let old = join(&fleet, "n", "boot");
    let _new = join(&fleet, "n", "boot");
    assert!(old.replaced().is_cancelled());
    drop(old);
    assert_eq!(fleet.connected(), 1);
}

#[test]
fn the_oldest_absent_node_makes_room() {
    let mut nodes = Nodes::default();
    let fleet = Fleet::new("s");
    drop(join(&fleet, "away", "b"));
    nodes.records.append(&mut fleet.lock().records);
    let absent = nodes.records.pop_first().unwrap().1;
    for number in 0..CAPACITY {
        let process = Process {
            node: number.to_string(),
            boot: String::new(),
        };
        let last_seen = UnixMillis(u64::try_from(CAPACITY - number).unwrap());
        let record = Record {
            node: absent.node.clone(),
            server_id: Arc::clone(&absent.server_id),
            peer: String::new(),
            session: None,
            notes: Notes::default(),
            lanes: BTreeMap::new(),
            last_seen,
            abilities: Abilities::default(),
            ..absent
        };
        nodes.records.insert(process, record);
    }
    nodes.make_room().unwrap();
    assert_eq!(nodes.records.len(), CAPACITY - 1);
    assert_eq!(nodes.of_node(&(CAPACITY - 1).to_string()).count(), 0);
}
