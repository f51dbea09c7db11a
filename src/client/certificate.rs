//! What a client of a scheduler with TLS needs, from the Secret of the cluster.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Secret;

use super::cluster::Cluster;
use super::error::{Error, is_of_object};
use crate::plan::certificates::file;

/// The files, as Secrets of the type `kubernetes.io/tls` and cert-manager name them.
const FILES: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];
/// Only the user may read them.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// The files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The authorities that are trusted.
    pub authority: PathBuf,
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Writes what is in a Secret into a folder that only the user may read. Files of earlier are replaced.
///
/// # Errors
/// The Secret is not there or may not be read, has no certificate, or the folder cannot be written.
pub async fn write(cluster: &Cluster, secret: &str, folder: &Path) -> Result<Certificate, Error> {
    let found = cluster.api::<Secret>().get(secret).await.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 404 && is_of_object(&status) => {
            Error::Senseless(format!("the Secret {secret} with the certificate is not there: try again"))
        }
        other => Error::of(other, &format!("get the Secret {secret} in the namespace {}", cluster.namespace)),
    })?;
    let data = found.data.unwrap_or_default();
    let [authority, certificate, key] = FILES.map(|name| folder.join(name));
    for name in FILES {
        let bytes = file(&data, name);
        if bytes.is_empty() {
            return Err(Error::Senseless(format!("the Secret {secret} has no {name}")));
        }
        put(folder, name, bytes).map_err(|error| {
            Error::Senseless(format!("{} cannot be written: {error}", folder.join(name).display()))
        })?;
    }
    Ok(Certificate { authority, certificate, key })
}

/// Puts a file in the place of what is there, which no other user can ever read.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    if !folder.is_dir() {
        DirBuilder::new().mode(FOLDER_MODE).recursive(true).create(folder)?;
    }
    let new = folder.join(format!("{name}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&new)?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(&new, folder.join(name)));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
