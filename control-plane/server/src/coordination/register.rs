//! What is known of members and leaders beyond this process: documents of the store, each replaced only as it was read.

use std::collections::BTreeMap;

use prost::Message;
use tyrscale_store::{Documents, Stamp, Store, StoreError, Table};

use super::leases::Leases;

const MEMBERS: &str = "members";
const ELECTIONS: &str = "election/";
/// Elections read at once.
const PAGE: usize = 1000;

/// Who is in.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct MembersRecord {
    /// Rises with every change.
    #[prost(uint64, tag = "1")]
    pub(super) revision: u64,
    #[prost(message, repeated, tag = "2")]
    pub(super) members: Vec<MemberRecord>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct MemberRecord {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint32, tag = "2")]
    pub(super) capacity: u32,
    #[prost(uint64, tag = "3")]
    pub(super) ttl_ms: u64,
}

/// Who leads.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ElectionRecord {
    /// Of the newest leadership.
    #[prost(uint64, tag = "1")]
    pub(super) token: u64,
    /// Empty: nobody.
    #[prost(string, tag = "2")]
    pub(super) leader: String,
    #[prost(uint64, tag = "3")]
    pub(super) ttl_ms: u64,
}

/// The documents, and when each was last seen to be written.
#[derive(Debug)]
pub(super) struct Register {
    documents: Documents,
    members: Stamp,
    elections: BTreeMap<String, Stamp>,
}

impl Register {
    /// Reads everything.
    pub(super) async fn open(store: &Store) -> Result<(Self, Leases), StoreError> {
        let mut register = Self {
            documents: store.documents(Table::Leases),
            members: Stamp::default(),
            elections: BTreeMap::new(),
        };
        let mut leases = Leases::default();
        let now = tokio::time::Instant::now();
        if let Some(members) = register.read_members().await? {
            leases.take_members(&members, now);
        }
        let mut after = String::new();
        loop {
            let page = register.documents.list(ELECTIONS, &after, PAGE).await?;
            for document in &page {
                let name = document.key.strip_prefix(ELECTIONS).unwrap_or_default();
                let election = ElectionRecord::decode(document.value.clone()).unwrap_or_default();
                leases.take_election(name, &election, now);
                register.elections.insert(name.to_owned(), document.stamp);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after.clone_from(&last.key),
                _ => return Ok((register, leases)),
            }
        }
    }

    /// Who is in, if somebody wrote since it was last read.
    pub(super) async fn read_members(&mut self) -> Result<Option<MembersRecord>, StoreError> {
        let found = self.documents.get(MEMBERS).await?;
        let Some(document) = found.filter(|found| found.stamp != self.members) else {
            return Ok(None);
        };
        self.members = document.stamp;
        Ok(MembersRecord::decode(document.value).ok())
    }

    /// Who leads, if somebody wrote since it was last read.
    pub(super) async fn read_election(&mut self, name: &str) -> Result<Option<ElectionRecord>, StoreError> {
        let found = self.documents.get(&key(name)).await?;
        let known = self.elections.get(name).copied().unwrap_or_default();
        let Some(document) = found.filter(|found| found.stamp != known) else {
            return Ok(None);
        };
        self.elections.insert(name.to_owned(), document.stamp);
        Ok(ElectionRecord::decode(document.value).ok())
    }

    /// Keeps who is in.
    ///
    /// # Errors
    /// [`StoreError::DocumentMoved`] when somebody else wrote.
    pub(super) async fn keep_members(&mut self, leases: &Leases) -> Result<(), StoreError> {
        let value = leases.members_record().encode_to_vec();
        self.members = self.documents.put_if(MEMBERS, value, self.members).await?;
        Ok(())
    }

    /// Keeps who leads.
    ///
    /// # Errors
    /// [`StoreError::DocumentMoved`] when somebody else wrote.
    pub(super) async fn keep_election(&mut self, leases: &Leases, name: &str) -> Result<(), StoreError> {
        let value = leases.election_record(name).encode_to_vec();
        let known = self.elections.get(name).copied().unwrap_or_default();
        let stamp = self.documents.put_if(&key(name), value, known).await?;
        self.elections.insert(name.to_owned(), stamp);
        Ok(())
    }
}

fn key(election: &str) -> String {
    format!("{ELECTIONS}{election}")
}
