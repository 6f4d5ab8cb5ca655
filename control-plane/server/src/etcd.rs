//! The store in etcd, for several control planes at once.

use std::path::PathBuf;

use http::Uri;
use tyrscale_store::{EtcdOptions, Store, StoreError, StoreOptions};
use tyrscale_tls::{CertificateFiles, ClientTls};

/// Which etcd cluster holds the store, if one does.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EtcdArgs {
    /// Members of an etcd cluster that holds the store, as http://host:port or https://host:port; without them the
    /// store is in --data-dir.
    #[arg(long, env = "TYRSCALE_ETCD", value_name = "URL", value_delimiter = ',')]
    pub etcd: Vec<Uri>,
    /// Which store of the cluster: control planes that name the same share it.
    #[arg(
        long,
        env = "TYRSCALE_ETCD_CLUSTER",
        value_name = "NAME",
        default_value = "default"
    )]
    pub etcd_cluster: String,
    /// PEM file of the authorities that certify etcd; without it the public ones.
    #[arg(long, env = "TYRSCALE_ETCD_CA", value_name = "FILE")]
    pub etcd_ca: Option<PathBuf>,
    /// PEM file of the certificate shown to etcd; needs --etcd-key.
    #[arg(long, env = "TYRSCALE_ETCD_CERT", value_name = "FILE", requires = "etcd_key")]
    pub etcd_cert: Option<PathBuf>,
    /// PEM file of the private key of --etcd-cert.
    #[arg(long, env = "TYRSCALE_ETCD_KEY", value_name = "FILE", requires = "etcd_cert")]
    pub etcd_key: Option<PathBuf>,
}

impl EtcdArgs {
    /// Which cluster, and how to speak with it; `None` when none is named.
    pub(crate) fn options(&self) -> Option<EtcdOptions> {
        if self.etcd.is_empty() {
            return None;
        }
        let pair = self.etcd_cert.clone().zip(self.etcd_key.clone());
        Some(EtcdOptions {
            endpoints: self.etcd.clone(),
            cluster: self.etcd_cluster.clone(),
            tls: ClientTls {
                ca: self.etcd_ca.clone(),
                pair: pair.map(|(certificate, key)| CertificateFiles { certificate, key }),
            },
        })
    }

    /// What the store is called in messages; `None` when no cluster is named.
    pub(crate) fn name(&self) -> Option<String> {
        (!self.etcd.is_empty()).then(|| format!("etcd:{}", self.etcd_cluster))
    }

    /// Opens the store in etcd; `None` when none is named.
    ///
    /// # Errors
    /// [`StoreError`] when no member answers or an option breaks a rule.
    pub(crate) async fn open(&self, options: StoreOptions) -> Result<Option<Store>, StoreError> {
        match self.options() {
            Some(etcd) => Store::open_etcd(etcd, options).await.map(Some),
            None => Ok(None),
        }
    }
}
