//! Who lives and who leads, by leases. Pure: whoever calls brings the time.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::register::{ElectionRecord, MemberRecord, MembersRecord};

/// The most members.
const MAX_MEMBERS: usize = 1_000;
/// The most elections.
const MAX_ELECTIONS: usize = 10_000;
/// After a restart every lease is taken to last so many times its length, so that nobody loses it for that.
const GRACE: u32 = 2;

/// There is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("the set has {MAX_MEMBERS} members already")]
    Members,
    #[error("there are {MAX_ELECTIONS} elections already")]
    Elections,
}

/// A lease and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease<T> {
    of: T,
    ttl_ms: u64,
    /// None: not heard of since the restart.
    until: Option<Instant>,
}

impl<T> Lease<T> {
    fn new(of: T, ttl: Duration, now: Instant) -> Self {
        Self {
            of,
            ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
            until: Some(now + ttl),
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    fn resume(&mut self, now: Instant) {
        let ttl = Duration::from_millis(self.ttl_ms);
        self.until = Some(now + ttl.saturating_mul(GRACE));
    }
}

/// A leadership and the tokens given out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Election {
    /// Of the newest leadership.
    token: u64,
    /// The candidate that leads.
    leader: Option<Lease<String>>,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Leadership {
    /// Whether it is the candidate that asked.
    pub(crate) is_own: bool,
    /// The leader; none: nobody.
    pub(crate) leader: Option<String>,
    /// Of the newest leadership.
    pub(crate) token: u64,
}

/// The members, by id, with their capacities.
pub(crate) type Members = BTreeMap<String, u32>;

/// All leases. What its records hold survives a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Leases {
    /// Rises whenever members come, go or change.
    revision: u64,
    members: BTreeMap<String, Lease<u32>>,
    elections: BTreeMap<String, Election>,
}

impl Leases {
    /// Goes on after a restart.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.members.values_mut().for_each(|lease| lease.resume(now));
        let leaders = self
            .elections
            .values_mut()
            .filter_map(|election| election.leader.as_mut());
        leaders.for_each(|lease| lease.resume(now));
    }

    /// Takes in who is in, as another control plane has it. Those that are new here have their time from now.
    pub(super) fn take_members(&mut self, record: &MembersRecord, now: Instant) {
        let mut before = std::mem::take(&mut self.members);
        for member in &record.members {
            let ttl = Duration::from_millis(member.ttl_ms);
            let known = before.remove(&member.id).filter(|lease| !lease.is_over(now));
            let mut lease = Lease::new(member.capacity, ttl.saturating_mul(GRACE), now);
            lease.ttl_ms = member.ttl_ms;
            if let Some(known) = known {
                lease.until = known.until;
            }
            self.members.insert(member.id.clone(), lease);
        }
        self.revision = record.revision;
    }

    /// What others are told of who is in.
    pub(super) fn members_record(&self) -> MembersRecord {
        let member = |(id, lease): (&String, &Lease<u32>)| MemberRecord {
            id: id.clone(),
            capacity: lease.of,
            ttl_ms: lease.ttl_ms,
        };
        MembersRecord {
            revision: self.revision,
            members: self.members.iter().map(member).collect(),
        }
    }

    /// Takes in what was just written of an election: its leader, if any, was heard of now.
    pub(super) fn take_election(&mut self, name: &str, record: &ElectionRecord, now: Instant) {
        let ttl = Duration::from_millis(record.ttl_ms);
        let leader = (!record.leader.is_empty()).then(|| Lease::new(record.leader.clone(), ttl, now));
        let election = Election {
            token: record.token,
            leader,
        };
        self.elections.insert(name.to_owned(), election);
    }

    /// What others are told of an election.
    pub(super) fn election_record(&self, name: &str) -> ElectionRecord {
        let Some(election) = self.elections.get(name) else {
            return ElectionRecord::default();
        };
        let leader = election.leader.as_ref();
        ElectionRecord {
            token: election.token,
            leader: leader.map(|lease| lease.of.clone()).unwrap_or_default(),
            ttl_ms: leader.map_or(0, |lease| lease.ttl_ms),
        }
    }

    /// Whether a member is in with this capacity.
    pub(super) fn is_known(&self, id: &str, capacity: u32) -> bool {
        self.members.get(id).is_some_and(|lease| lease.of == capacity)
    }

    /// Another control plane tells that a member lives: it does for its time, or for `least`.
    pub(super) fn heard(&mut self, id: &str, least: Duration, now: Instant) {
        if let Some(lease) = self.members.get_mut(id) {
            let time = Duration::from_millis(lease.ttl_ms).max(least);
            lease.until = lease.until.max(Some(now + time));
        }
    }

    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn members(&self) -> Members {
        let members = self.members.iter();
        members.map(|(id, lease)| (id.clone(), lease.of)).collect()
    }

    /// A member says that it lives. Tells whether that changes who is in.
    pub(crate) fn renew(
        &mut self,
        id: &str,
        capacity: u32,
        ttl: Duration,
        now: Instant,
    ) -> Result<bool, Full> {
        let known = self.members.get(id).map(|lease| lease.of);
        if known.is_none() && self.members.len() >= MAX_MEMBERS {
            return Err(Full::Members);
        }
        self.members.insert(id.to_owned(), Lease::new(capacity, ttl, now));
        let changes = known != Some(capacity);
        self.revision += u64::from(changes);
        Ok(changes)
    }

    /// A member stops. Tells whether it was in.
    pub(crate) fn leave(&mut self, id: &str) -> bool {
        let was_in = self.members.remove(id).is_some();
        self.revision += u64::from(was_in);
        was_in
    }

    /// Lets go of the members that were not heard of in time. Tells which.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<String> {
        let over = self.members.iter().filter(|(_, lease)| lease.is_over(now));
        let gone: Vec<String> = over.map(|(id, _)| id.clone()).collect();
        self.members.retain(|_, lease| !lease.is_over(now));
        self.revision += u64::from(!gone.is_empty());
        gone
    }

    /// When the next member is over.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.members.values().filter_map(|lease| lease.until).min()
    }

    /// Of the newest leadership of an election; 0 before the first.
    pub(crate) fn token(&self, election: &str) -> u64 {
        self.elections.get(election).map_or(0, |election| election.token)
    }

    /// A candidate takes or keeps a leadership. The token rises when somebody begins to lead.
    pub(crate) fn campaign(
        &mut self,
        election: &str,
        candidate: &str,
        ttl: Duration,
        now: Instant,
    ) -> Result<Leadership, Full> {
        if !self.elections.contains_key(election) && self.elections.len() >= MAX_ELECTIONS {
            return Err(Full::Elections);
        }
        let election = self.elections.entry(election.to_owned()).or_default();
        let held = election.leader.as_ref().filter(|lease| !lease.is_over(now));
        let may_lead = held.is_none_or(|lease| lease.of == candidate);
        if may_lead {
            election.token += u64::from(held.is_none());
            election.leader = Some(Lease::new(candidate.to_owned(), ttl, now));
        }
        Ok(election.leadership(candidate, now))
    }

    /// A candidate gives a leadership up, if it has it.
    pub(crate) fn resign(&mut self, election: &str, candidate: &str, now: Instant) -> Leadership {
        let Some(election) = self.elections.get_mut(election) else {
            return Leadership::default();
        };
        if election
            .leader
            .as_ref()
            .is_some_and(|lease| lease.of == candidate)
        {
            election.leader = None;
        }
        election.leadership(candidate, now)
    }

    /// Whether the token is that of the leadership there is.
    pub(crate) fn is_led_by(&self, election: &str, token: u64, now: Instant) -> bool {
        let election = self.elections.get(election);
        election.is_some_and(|election| {
            election.token == token && election.leader.as_ref().is_some_and(|lease| !lease.is_over(now))
        })
    }
}

impl Election {
    fn leadership(&self, candidate: &str, now: Instant) -> Leadership {
        let leader = self.leader.as_ref().filter(|lease| !lease.is_over(now));
        Leadership {
            is_own: leader.is_some_and(|lease| lease.of == candidate),
            leader: leader.map(|lease| lease.of.clone()),
            token: self.token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn restarted(leases: &Leases, now: Instant) -> Leases {
        let mut again = Leases::default();
        again.take_members(&leases.members_record(), now);
        for name in leases.elections.keys() {
            again.take_election(name, &leases.election_record(name), now);
        }
        again.resume(now);
        again
    }

    #[test]
    fn a_member_that_is_silent_for_its_time_is_gone() {
        let t0 = Instant::now();
        let mut leases = Leases::default();
        assert_eq!(leases.renew("a", 1, TTL, t0), Ok(true));
        assert_eq!(leases.renew("b", 1, TTL, t0), Ok(true));
        assert_eq!(leases.renew("a", 1, TTL, t0 + TTL / 2), Ok(false));
        assert_eq!(leases.next_end(), Some(t0 + TTL));
        assert_eq!(leases.expire(t0 + TTL), ["b"]);
        assert_eq!(leases.members(), Members::from([("a".to_owned(), 1)]));
        assert_eq!(leases.revision(), 3);
        assert!(leases.leave("a") && !leases.leave("a"));
    }

    #[test]
    fn after_a_restart_every_member_has_twice_its_time() {
        let t0 = Instant::now();
        let mut leases = Leases::default();
        leases.renew("a", 3, TTL, t0).unwrap();
        let t1 = t0 + TTL * 100;
        let mut again = restarted(&leases, t1);
        assert_eq!(again.members(), leases.members());
        assert!(again.expire(t1 + TTL * 2 - Duration::from_millis(1)).is_empty());
        assert_eq!(again.expire(t1 + TTL * 2), ["a"]);
        assert!(again.revision() > leases.revision());
    }

    #[test]
    fn one_leads_until_it_is_silent_and_every_new_leadership_has_a_higher_token() {
        let t0 = Instant::now();
        let mut leases = Leases::default();
        let first = leases.campaign("r", "a", TTL, t0).unwrap();
        assert_eq!((first.is_own, first.token), (true, 1));
        let other = leases.campaign("r", "b", TTL, t0 + TTL / 2).unwrap();
        assert_eq!(
            (other.is_own, other.leader.as_deref(), other.token),
            (false, Some("a"), 1)
        );
        assert_eq!(leases.campaign("r", "a", TTL, t0 + TTL / 2).unwrap().token, 1);
        let later = t0 + TTL * 2;
        assert!(!leases.is_led_by("r", 1, later));
        let next = leases.campaign("r", "b", TTL, later).unwrap();
        assert_eq!((next.is_own, next.token), (true, 2));
        assert!(leases.is_led_by("r", 2, later) && !leases.is_led_by("r", 1, later));
        let back = leases.campaign("r", "a", TTL, later).unwrap();
        assert_eq!((back.is_own, back.leader.as_deref()), (false, Some("b")));
    }

    #[test]
    fn a_resignation_makes_room_at_once_and_tokens_outlive_restarts() {
        let t0 = Instant::now();
        let mut leases = Leases::default();
        leases.campaign("r", "a", TTL, t0).unwrap();
        assert_eq!(leases.resign("r", "b", t0).leader.as_deref(), Some("a"));
        assert_eq!(leases.resign("r", "a", t0).leader, None);
        let mut again = restarted(&leases, t0);
        let next = again.campaign("r", "b", TTL, t0).unwrap();
        assert_eq!((next.is_own, next.token), (true, 2));
        let again = restarted(&again, t0 + TTL * 100);
        assert!(again.is_led_by("r", 2, t0 + TTL * 101));
    }

    #[test]
    fn there_is_a_bound() {
        let t0 = Instant::now();
        let mut leases = Leases::default();
        for member in 0..MAX_MEMBERS {
            leases.renew(&member.to_string(), 1, TTL, t0).unwrap();
        }
        assert_eq!(leases.renew("one more", 1, TTL, t0), Err(Full::Members));
        assert_eq!(leases.renew("7", 1, TTL, t0), Ok(false));
    }
}
