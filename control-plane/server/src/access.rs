//! Who may call: tokens, certificates, the audit log, and the layer that every gRPC call passes.

mod admission;
mod layer;
mod service;
mod words;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tyrscale_access::{
    AccessError, Audit, Gate, Guard, NewToken, OtherPepper, Pepper, PortTls, RevokedNodes, Role, Scope,
    Spoken, Tokens, unix_now,
};
use tyrscale_store::{Store, Table};

pub(crate) use self::{
    admission::{Admission, Claim},
    layer::AccessLayer,
    service::Access as AccessService,
};
use crate::{ControlPlaneError, config::AccessArgs};

/// How often uses of tokens are stored, and what another control plane stored is read.
const UPKEEP: Duration = Duration::from_secs(5);
/// Where in the data directory the first administrator's token is written.
const FIRST_TOKEN: &str = "admin.token";
const FIRST_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// How long the audit log may take to write what waits, at the end.
const LAST_RECORDS: Duration = Duration::from_secs(5);

/// Everything about access while the control plane runs.
pub(crate) struct Access {
    pub(crate) guard: Guard,
    pub(crate) tokens: Tokens,
    pub(crate) grpc_tls: Option<PortTls>,
    pub(crate) rest_tls: Option<PortTls>,
    store: Store,
    audit_writer: JoinHandle<()>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Access {
    /// Reads certificates, tokens and the audit log's end. With tokens on and no administrator's among them, writes one to
    /// the data directory.
    pub(crate) async fn open(
        args: &AccessArgs,
        data_dir: &Path,
        store: &Store,
    ) -> Result<Self, ControlPlaneError> {
        let (grpc_tls, rest_tls) = (tls(args, Spoken::Grpc).await?, tls(args, Spoken::Http1).await?);
        let pepper = pepper(args, data_dir).await?;
        let tokens = Tokens::open(store.documents(Table::Tokens), pepper.clone()).await?;
        let nodes = RevokedNodes::open(store.documents(Table::Tokens)).await?;
        let documents = store.documents(Table::Audit);
        let bounds = (args.audit_keep, args.audit_files());
        let (audit, audit_writer) = Audit::open(store, documents, &pepper, bounds).await?;
        let takes_writes = store.is_ready().is_ok();
        if args.tokens && takes_writes {
            check_pepper(args, &tokens).await?;
        } else if args.tokens {
            tell_of_unusable(&tokens).await?;
        }
        if args.tokens && takes_writes && !tokens.has_admin(unix_now()) {
            write_first_token(&tokens, data_dir).await?;
        }
        if args.insecure {
            tracing::warn!(
                "--insecure: whoever reaches the listeners may do everything that no token is asked for"
            );
        }
        let gate = Gate::new(args.rules(), tokens.clone(), nodes.clone());
        #[cfg(feature = "oidc")]
        let gate = match args.oidc.rules() {
            Some(rules) => gate.with_oidc(tyrscale_access::Oidc::open(rules).await?),
            None => gate,
        };
        let follow = [&grpc_tls, &rest_tls].into_iter().flatten();
        let mut tasks: Vec<_> = follow.map(PortTls::follow_files).collect();
        let upkeep = upkeep(store.clone(), tokens.clone(), nodes);
        tasks.push(AbortOnDropHandle::new(tokio::spawn(upkeep)));
        Ok(Self {
            guard: Guard::new(Arc::new(gate), audit),
            tokens,
            grpc_tls,
            rest_tls,
            store: store.clone(),
            audit_writer,
            _tasks: tasks,
        })
    }

    /// The service, whose streams are tasks of `streams` and end at `stop`.
    pub(crate) fn service(&self, streams: &TaskTracker, stop: &CancellationToken) -> AccessService {
        AccessService::new(
            self.guard.clone(),
            self.tokens.clone(),
            streams.clone(),
            stop.clone(),
        )
    }

    /// Ends once what waits for the audit log is written, if everything that writes to it is gone.
    pub(crate) async fn close(self) {
        if let Err(error) = note_uses(&self.store, &self.tokens).await {
            tracing::warn!(%error, "uses of tokens could not be stored");
        }
        let Self {
            guard, audit_writer, ..
        } = self;
        drop(guard);
        if tokio::time::timeout(LAST_RECORDS, audit_writer).await.is_err() {
            tracing::warn!("the audit log is still in use");
        }
    }
}

pub(crate) async fn tls(args: &AccessArgs, spoken: Spoken) -> Result<Option<PortTls>, ControlPlaneError> {
    let Some(files) = args.certificate() else {
        return Ok(None);
    };
    let authorities = args.client_ca.clone();
    let reading = move || PortTls::read(files, authorities.as_deref(), spoken);
    let read = tokio::task::spawn_blocking(reading).await;
    Ok(Some(
        read.map_err(std::io::Error::other)
            .map_err(ControlPlaneError::Access)??,
    ))
}

async fn pepper(args: &AccessArgs, data_dir: &Path) -> Result<Pepper, ControlPlaneError> {
    let (file, data_dir) = (args.pepper_file.clone(), data_dir.to_owned());
    let reading = move || Pepper::read_or_make(file.as_deref(), &data_dir);
    let read = tokio::task::spawn_blocking(reading).await;
    read.map_err(std::io::Error::other)
        .flatten()
        .map_err(ControlPlaneError::Access)
}

/// A store that takes no writes is served all the same: nodes need no tokens.
async fn tell_of_unusable(tokens: &Tokens) -> Result<(), AccessError> {
    let unusable = tokens.unusable(unix_now()).await?.len();
    if unusable > 0 {
        tracing::error!(
            unusable,
            "tokens were made with another pepper, and nobody can use them: give that one with --pepper-file"
        );
    }
    Ok(())
}

async fn check_pepper(args: &AccessArgs, tokens: &Tokens) -> Result<(), AccessError> {
    let other = if args.renew_pepper {
        OtherPepper::Renewed
    } else {
        OtherPepper::Refused
    };
    let revoked = tokens.check_pepper(other, unix_now()).await?;
    if revoked > 0 {
        tracing::warn!(
            revoked,
            "--renew-pepper: tokens that were made with another pepper are revoked; the audit log cannot be verified beyond \
             this start"
        );
    }
    Ok(())
}

async fn write_first_token(tokens: &Tokens, data_dir: &Path) -> Result<(), ControlPlaneError> {
    let new = NewToken {
        subject: "first-admin".to_owned(),
        role: Role::Admin,
        scope: Scope::default(),
        lifetime: FIRST_LIFETIME,
    };
    let (_, text) = tokens.create(new, "control-plane", unix_now()).await?;
    let path = data_dir.join(FIRST_TOKEN);
    let (file, line) = (path.clone(), format!("{}\n", text.reveal()));
    let written = tokio::task::spawn_blocking(move || tyrscale_access::write_private(&file, line.as_bytes()));
    written
        .await
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(ControlPlaneError::Access)?;
    tracing::info!(
        path = %path.display(),
        days = FIRST_LIFETIME.as_secs() / 86_400,
        "no administrator's token lives: one was made and written there"
    );
    Ok(())
}

/// Stores uses of tokens, unless nothing can be stored: they wait.
async fn note_uses(store: &Store, tokens: &Tokens) -> Result<(), AccessError> {
    match store.is_ready() {
        Ok(()) => tokens.note_uses().await,
        Err(_) => Ok(()),
    }
}

/// Stores uses of tokens and takes over what other control planes have stored, until it is dropped.
async fn upkeep(store: Store, tokens: Tokens, nodes: RevokedNodes) {
    let mut tick = tokio::time::interval(UPKEEP);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let kept: Result<(), AccessError> = async {
            note_uses(&store, &tokens).await?;
            tokens.reload().await?;
            nodes.reload().await
        }
        .await;
        if let Err(error) = kept {
            tracing::warn!(%error, "tokens and revoked nodes could not be brought up to date");
        }
    }
}

#[cfg(test)]
mod tests {
    use tyrscale_store::{Archive, StoreOptions};

    use super::*;

    #[tokio::test]
    async fn uses_of_tokens_wait_while_the_store_takes_no_writes() {
        let dir = tempfile::tempdir().unwrap();
        let pepper = Pepper::read_or_make(None, dir.path()).unwrap();
        let path = dir.path().join("store");
        let store = Store::open(&path, StoreOptions::default()).await.unwrap();
        let tokens = Tokens::open(store.documents(Table::Tokens), pepper.clone())
            .await
            .unwrap();
        let new = NewToken {
            subject: "ci".to_owned(),
            role: Role::Admin,
            scope: Scope::default(),
            lifetime: FIRST_LIFETIME,
        };
        let (_, text) = tokens.create(new, "test", unix_now()).await.unwrap();
        let file = dir.path().join("backup");
        store.write_archive(&file).await.unwrap();
        store.close().await;

        let archive = Archive::read(&file).unwrap().served_because("it is damaged");
        let backup = Store::over(Arc::new(archive), StoreOptions::default())
            .await
            .unwrap();
        let tokens = Tokens::open(backup.documents(Table::Tokens), pepper)
            .await
            .unwrap();
        tokens.verify(&text, unix_now()).unwrap();
        assert!(tokens.note_uses().await.is_err(), "there is a use to store");
        note_uses(&backup, &tokens).await.unwrap();
        tokens.reload().await.unwrap();
        backup.close().await;
    }

    #[tokio::test]
    async fn a_lost_pepper_is_renewed_by_command_and_a_new_administrator_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), StoreOptions::default())
            .await
            .unwrap();
        let mut args = AccessArgs {
            tokens: true,
            ..AccessArgs::default()
        };
        let read = || std::fs::read_to_string(dir.path().join(FIRST_TOKEN)).unwrap();
        Access::open(&args, dir.path(), &store)
            .await
            .unwrap()
            .close()
            .await;
        let first = read();
        let other = dir.path().join("other");
        std::fs::write(&other, [7; 32]).unwrap();
        args.pepper_file = Some(other);
        let refused = Access::open(&args, dir.path(), &store).await.err().unwrap();
        assert!(refused.to_string().contains("--renew-pepper"), "{refused}");
        assert_eq!(read(), first);
        args.renew_pepper = true;
        let access = Access::open(&args, dir.path(), &store).await.unwrap();
        let token = read().trim().parse().unwrap();
        assert!(access.tokens.verify(&token, unix_now()).is_some());
        access.close().await;
        args.renew_pepper = false;
        Access::open(&args, dir.path(), &store)
            .await
            .unwrap()
            .close()
            .await;
        store.close().await;
    }
}
