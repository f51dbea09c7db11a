//! What makes a container speak TLS: mounted files and Dask's own environment variables. No argument and no
//! script changes, so the same wiring serves scheduler, workers and runners, on every release of Dask and
//! Prefect.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    EnvVar, KeyToPath, Pod, PodSpec, PodTemplateSpec, SecretVolumeSource, Volume, VolumeMount,
};

use super::{container, state};
use crate::api::labels;
use crate::plan::site::{Folder, Site};
use crate::plan::{certificates, names};

/// The name of the volume.
const VOLUME: &str = "daskflow-tls";
/// Read by the owner alone. With a group of the pod's own the kubelet lets the group read as well.
const MODE: i32 = 0o400;
/// The group of the pod's own: what images that are not root's use most.
const GROUP: i64 = 1000;
/// How Dask's variables begin: <https://docs.dask.org/en/stable/configuration.html>.
const DASK: &str = "DASK_DISTRIBUTED__COMM__";

/// The certificates that the pods of a cluster are made with: a Secret of ours that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The Secret's name. All three files are in it.
    pub secret: String,
    /// The authorities that it trusts, as a hash. Processes of different ones cannot talk.
    pub trust: String,
    /// When it begins.
    pub begins: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
}

impl Certificate {
    /// The one that this pod was made with.
    pub fn of(pod: &Pod) -> Option<Self> {
        let annotations = pod.metadata.annotations.as_ref()?;
        // An annotation is anybody's to write: only what can be a copy for this cluster is believed.
        let copies = names::certificate_copies(state::label(pod, labels::CLUSTER_NAME)?);
        let secret = annotations.get(labels::CERTIFICATE).filter(|secret| secret.starts_with(&copies))?;
        let time = |key: &str| annotations.get(key)?.parse().ok();
        Some(Self {
            secret: secret.clone(),
            trust: annotations.get(labels::TRUST)?.clone(),
            begins: time(labels::CERTIFICATE_BEGINS).unwrap_or(Timestamp::MIN),
            ends: time(labels::CERTIFICATE_ENDS).unwrap_or(Timestamp::MAX),
        })
    }

    /// The marks by which [`Certificate::of`] knows it again.
    fn mark(&self, template: &mut PodTemplateSpec) {
        let metadata = template.metadata.get_or_insert_default();
        metadata.annotations.get_or_insert_default().extend([
            (labels::CERTIFICATE.to_owned(), self.secret.clone()),
            (labels::TRUST.to_owned(), self.trust.clone()),
            (labels::CERTIFICATE_BEGINS.to_owned(), self.begins.to_string()),
            (labels::CERTIFICATE_ENDS.to_owned(), self.ends.to_string()),
        ]);
    }
}

/// The files that a container is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The Secret that they are in.
    pub secret: String,
    /// The certificate is its own authority: there is no `ca.crt`.
    pub own_authority: bool,
    /// The key is in the certificate's file: there is no `tls.key`.
    pub key_in_certificate: bool,
}

impl From<&Certificate> for Files {
    fn from(certificate: &Certificate) -> Self {
        Self { secret: certificate.secret.clone(), own_authority: false, key_in_certificate: false }
    }
}

impl Files {
    fn volume(&self) -> Volume {
        let item =
            |key: &str, path: &str| KeyToPath { key: key.to_owned(), path: path.to_owned(), mode: None };
        let ca = if self.own_authority { certificates::CERTIFICATE } else { certificates::CA };
        let key = if self.key_in_certificate { certificates::CERTIFICATE } else { certificates::KEY };
        Volume {
            name: VOLUME.to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(self.secret.clone()),
                default_mode: Some(MODE),
                items: Some(vec![
                    item(ca, certificates::CA),
                    item(certificates::CERTIFICATE, certificates::CERTIFICATE),
                    item(key, certificates::KEY),
                ]),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        }
    }

    /// Mounts them into the one container of `pod`, beneath its environment.
    pub fn mount(&self, pod: &mut PodSpec, site: Site, roles: &[&str]) {
        pod.volumes.get_or_insert_default().push(self.volume());
        for main in &mut pod.containers {
            main.volume_mounts.get_or_insert_default().push(VolumeMount {
                name: VOLUME.to_owned(),
                mount_path: site.path(Folder::Tls).to_owned(),
                read_only: Some(true),
                ..VolumeMount::default()
            });
            let own = main.env.take().unwrap_or_default();
            main.env = Some(container::merge_env([environment(site, roles).as_slice(), &own]));
        }
    }
}

/// Dask's variables for processes of these roles. Each process is a client as well: a worker calls other
/// workers.
fn environment(site: Site, roles: &[&str]) -> Vec<EnvVar> {
    let file = |name: &str| file(site, name);
    let mut all = vec![
        container::env(&format!("{DASK}REQUIRE_ENCRYPTION"), "true"),
        container::env(&format!("{DASK}TLS__CA_FILE"), file(certificates::CA)),
    ];
    for role in roles {
        all.push(container::env(&format!("{DASK}TLS__{role}__CERT"), file(certificates::CERTIFICATE)));
        all.push(container::env(&format!("{DASK}TLS__{role}__KEY"), file(certificates::KEY)));
    }
    all
}

/// For scripts that make their own `Security`: where the files are.
pub fn paths(site: Site) -> Vec<EnvVar> {
    let file = |name: &str| file(site, name);
    vec![
        container::env("DASKFLOW_TLS_CA", file(certificates::CA)),
        container::env("DASKFLOW_TLS_CERT", file(certificates::CERTIFICATE)),
        container::env("DASKFLOW_TLS_KEY", file(certificates::KEY)),
    ]
}

fn file(site: Site, name: &str) -> String {
    format!("{}/{name}", site.path(Folder::Tls))
}

/// Marks a pod with its certificate, once the user's template was merged, and lets the process read the files
/// whatever user it is.
pub fn finish(template: &mut PodTemplateSpec, certificate: Option<&Certificate>) {
    if let Some(annotations) = template.metadata.as_mut().and_then(|metadata| metadata.annotations.as_mut()) {
        let ours = [labels::CERTIFICATE, labels::TRUST, labels::CERTIFICATE_BEGINS, labels::CERTIFICATE_ENDS];
        annotations.retain(|key, _| !ours.contains(&key.as_str()));
    }
    if let Some(certificate) = certificate {
        certificate.mark(template);
        let_user_read(template);
    }
}

/// A non-root user cannot read files of mode 0400, and the image's user is unknown. With an fsGroup the
/// kubelet makes them
/// 0440. A template may set another group; with runAsUser 0 none is needed.
pub fn let_user_read(template: &mut PodTemplateSpec) {
    let Some(spec) = &mut template.spec else { return };
    let context = spec.security_context.get_or_insert_default();
    if context.run_as_user != Some(0) {
        context.fs_group.get_or_insert(GROUP);
    }
}
