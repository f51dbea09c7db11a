//! The way in for `kubectl`: the API on a port of 127.0.0.1, and the kubeconfig that names it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use serde_json::json;

use crate::cluster_api::{Access, AccessError, ClusterApi, Listening};

/// The first line of each kubeconfig that is written here, by which it is known.
const MARK: &str = "# Written by daskflow local, and replaced by the next one that names this file.\n";
/// Only its user may read it.
const MODE: u32 = 0o600;
/// What cluster, user and context are called in it.
const NAME: &str = "daskflow-local";

/// Why there is no way in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate or token.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No port.
    #[error("no port of 127.0.0.1 can be listened on for kubectl")]
    Listen(#[source] io::Error),
    /// The file has something else in it.
    #[error("{path} is there and was not written by daskflow local: name another file, or delete it")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("the kubeconfig {path} cannot be written: name another file with --kubeconfig")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The API on a port, and its kubeconfig. It ends with this.
pub struct Kubeconfig {
    path: PathBuf,
    /// Files that are deleted in the end, as they were not asked for.
    own: Vec<PathBuf>,
    _listening: Listening,
}

impl Kubeconfig {
    /// Listens, and writes the kubeconfig: into the file that is named, and into those of our own, which are
    /// deleted in the end: one in the folder of this daskflow, and one in that of its [`Sign`]. Whoever has
    /// it may do everything; a file that is left is worth nothing when the API has ended.
    ///
    /// [`Sign`]: super::folder::Sign
    ///
    /// # Errors
    ///
    /// The named file is there and not one of ours, or one cannot be written, or no port can be listened on.
    pub async fn serve(
        api: &ClusterApi,
        named: Option<&Path>,
        own: &Path,
        sign: Option<&Path>,
    ) -> Result<Self, Error> {
        let path = named.unwrap_or(own);
        let own: Vec<PathBuf> = [own].into_iter().chain(sign).map(Path::to_owned).collect();
        [path].into_iter().chain(own.iter().map(PathBuf::as_path)).try_for_each(check)?;
        let access = Access::new()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listening = api.listen_with(address, &access).await.map_err(Error::Listen)?;
        let text = text(listening.address(), &access);
        for path in own.iter().map(PathBuf::as_path).chain(named) {
            write(path, &text).map_err(|source| Error::Write { path: path.to_owned(), source })?;
        }
        // What was asked for stays, wherever it is.
        let own = own.into_iter().filter(|file| Some(file.as_path()) != named).collect();
        Ok(Self { path: path.to_owned(), own, _listening: listening })
    }

    /// The file that people are shown: the one that is named, else that of our own folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        for path in &self.own {
            // The folder may be deleted already.
            let _ = fs::remove_file(path);
        }
    }
}

fn text(address: SocketAddr, access: &Access) -> String {
    let certificate = ByteString(access.certificate().as_bytes().to_vec());
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": NAME,
        "clusters": [{"name": NAME, "cluster": {
            "server": format!("https://{address}"), "certificate-authority-data": certificate,
        }}],
        "users": [{"name": NAME, "user": {"token": access.token()}}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME, "namespace": "default"}}],
    });
    // JSON is YAML, and a comment may stand before it.
    format!("{MARK}{config:#}\n")
}

/// Whether a file may be written: there is none, or it is empty or one of ours.
fn check(path: &Path) -> Result<(), Error> {
    let is_free = match fs::metadata(path) {
        // Nothing but a file is taken away for another one, least of all a device.
        Ok(found) if found.is_file() => {
            let text = fs::read(path).map_err(|source| Error::Write { path: path.to_owned(), source })?;
            text.is_empty() || text.starts_with(MARK.as_bytes())
        }
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    if is_free { Ok(()) } else { Err(Error::Foreign { path: path.to_owned() }) }
}

/// Puts a file that is whole, and that no other user could ever read, in the place of what is there.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = path.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&new, path));
    if written.as_ref().is_err_and(|error| error.kind() != ErrorKind::AlreadyExists) {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::ListParams;
    use kube::config::{KubeConfigOptions, Kubeconfig as Read};
    use kube::{Api, Client, Config};

    use super::*;

    /// The names of namespaces that a client of this kubeconfig sees.
    async fn seen(config: Read) -> kube::Result<Vec<Option<String>>> {
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        let all: Api<Namespace> = Api::all(Client::try_from(config)?);
        Ok(all.list(&ListParams::default()).await?.into_iter().map(|one| one.metadata.name).collect())
    }

    #[tokio::test]
    async fn whoever_has_the_kubeconfig_gets_in_and_no_other_client() {
        let own = std::env::temp_dir().join(format!("daskflow-way-in-{}", std::process::id()));
        let api = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1);
        let (one, other) = (own.with_extension("one"), own.with_extension("other"));
        let written = Kubeconfig::serve(&api, None, &one, None).await.unwrap();
        let _other = Kubeconfig::serve(&api, None, &other, None).await.unwrap();
        let (config, foreign) = (Read::read_from(&one).unwrap(), Read::read_from(&other).unwrap());
        assert_eq!(seen(config.clone()).await.unwrap(), [Some("default".to_owned())]);
        // With the token of another API, and with none.
        let mut with_other_token = config.clone();
        with_other_token.auth_infos = foreign.auth_infos.clone();
        let mut without = config.clone();
        without.auth_infos[0].auth_info.as_mut().unwrap().token = None;
        for refused in [with_other_token, without] {
            let Err(kube::Error::Api(status)) = seen(refused).await else { panic!("it gets in") };
            assert_eq!((status.code, status.reason.as_str()), (401, "Unauthorized"));
        }
        // The certificate of another API is not taken, so its port does not see the token.
        let mut with_other_port = config.clone();
        let server = foreign.clusters[0].cluster.as_ref().unwrap().server.clone();
        with_other_port.clusters[0].cluster.as_mut().unwrap().server = server;
        let error = seen(with_other_port).await.unwrap_err();
        assert!(!matches!(error, kube::Error::Api(_)), "{error}");
        // Plain HTTP is not spoken.
        let mut plain = config;
        let cluster = plain.clusters[0].cluster.as_mut().unwrap();
        cluster.server = cluster.server.take().map(|server| server.replace("https:", "http:"));
        assert!(seen(plain).await.is_err());
        drop(written);
    }

    #[tokio::test]
    async fn a_file_of_others_is_let_alone_and_one_of_ours_is_replaced() {
        let folder = std::env::temp_dir().join(format!("daskflow-kubeconfig-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (named, own, sign) = (folder.join("named"), folder.join("own"), folder.join("sign"));
        let api = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1);
        fs::write(&named, "apiVersion: v1\n").unwrap();
        fs::set_permissions(&named, PermissionsExt::from_mode(0o644)).unwrap();
        let refused = Kubeconfig::serve(&api, Some(&named), &own, None).await.err().unwrap();
        assert!(refused.to_string().contains("was not written by daskflow local"), "{refused}");
        assert_eq!(fs::read_to_string(&named).unwrap(), "apiVersion: v1\n");
        assert!(Kubeconfig::serve(&api, Some(Path::new("/dev/null")), &own, None).await.is_err());
        assert!(Kubeconfig::serve(&api, Some(&folder.join("nowhere/config")), &own, None).await.is_err());
        // As `mktemp` makes it.
        fs::write(&named, "").unwrap();
        let mut texts = Vec::new();
        for _ in 0..2 {
            let written = Kubeconfig::serve(&api, Some(&named), &own, Some(&sign)).await.unwrap();
            assert_eq!(written.path(), named);
            assert_eq!(fs::read(&sign).unwrap(), fs::read(&named).unwrap());
            texts.push(fs::read_to_string(&named).unwrap());
            assert_eq!(fs::metadata(&named).unwrap().permissions().mode() & 0o777, MODE);
        }
        assert!(texts[0] != texts[1] && texts[1].starts_with(MARK), "{texts:?}");
        let written = Kubeconfig::serve(&api, None, &own, None).await.unwrap();
        assert!(own.is_file());
        drop(written);
        assert_eq!((own.exists(), named.exists()), (false, true));
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["named"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
