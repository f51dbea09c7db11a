//! What pods have without a word about it in Kubernetes, and ours have only where it is written.

use std::collections::BTreeSet;

use super::pod::Part;
use super::remark::Notes;

/// What the remark on them begins with.
pub(super) const FEWER: &str = "pods have less than before where the manifest does not set it";
/// The variable with packages that the `ENTRYPOINT` of Dask's image installs with `apt-get`.
const APT_PACKAGES: &str = "EXTRA_APT_PACKAGES";
/// A capability that no container has beside `allowPrivilegeEscalation: false`.
const ADMIN: [&str; 2] = ["SYS_ADMIN", "CAP_SYS_ADMIN"];

/// Something that a pod had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    Capabilities,
    Escalation,
    SystemCalls,
    Token,
    Links,
}

impl Right {
    /// What is there in its place.
    fn words(self) -> &'static str {
        match self {
            Self::Capabilities => "no capabilities",
            Self::Escalation => "allowPrivilegeEscalation: false",
            Self::SystemCalls => "the seccomp profile RuntimeDefault",
            Self::Token => "no token of the default service account",
            Self::Links => "no variables for Services (X_SERVICE_HOST)",
        }
    }
}

/// What a pod had by default, and has not here.
pub(super) fn lost(part: &Part) -> BTreeSet<Right> {
    let pod = &part.pod;
    let of_container = part.main.security_context.as_ref();
    let of_pod = pod.security_context.as_ref();
    let is_privileged = of_container.is_some_and(|context| context.privileged == Some(true));
    let added = of_container.and_then(|context| context.capabilities.as_ref()?.add.as_ref());
    let is_admin = added.into_iter().flatten().any(|one| ADMIN.contains(&one.as_str()));
    let escalates = of_container.is_none_or(|context| context.allow_privilege_escalation.is_none());
    let has_profile = of_container.is_some_and(|context| context.seccomp_profile.is_some())
        || of_pod.is_some_and(|context| context.seccomp_profile.is_some());
    let has_token = pod.service_account_name.is_none() && pod.automount_service_account_token.is_none();
    let rights = [
        (Right::Capabilities, has_capabilities(part)),
        (Right::Escalation, escalates && !is_privileged && !is_admin),
        (Right::SystemCalls, !has_profile && !is_privileged),
        (Right::Token, has_token),
        (Right::Links, pod.enable_service_links.is_none()),
    ];
    rights.into_iter().filter(|(_, is_lost)| *is_lost).map(|(right, _)| right).collect()
}

/// Whether its container had capabilities that nothing names, as one has that runs as root.
fn has_capabilities(part: &Part) -> bool {
    let of_container = part.main.security_context.as_ref();
    let user = of_container
        .and_then(|context| context.run_as_user)
        .or_else(|| part.pod.security_context.as_ref()?.run_as_user);
    let is_non_root = of_container
        .and_then(|context| context.run_as_non_root)
        .or_else(|| part.pod.security_context.as_ref()?.run_as_non_root)
        .unwrap_or_default();
    let is_privileged = of_container.is_some_and(|context| context.privileged == Some(true));
    let are_named = of_container.is_some_and(|context| context.capabilities.is_some());
    let is_root = user.unwrap_or_default() == 0 && !is_non_root;
    is_root && !is_privileged && !are_named
}

/// One remark for all pods that are written of an object; `notes` are of it.
pub(super) fn say(lost: &BTreeSet<Right>, notes: &mut Notes) {
    if lost.is_empty() {
        return;
    }
    let words: Vec<&str> = lost.iter().map(|right| right.words()).collect();
    notes.changed("spec", "spec", format!("{FEWER}: {}. template sets others", words.join(", ")));
}

/// What in a pod most likely needs capabilities; `notes` are of the pod.
pub(super) fn say_needs(part: &Part, notes: &mut Notes) {
    if !has_capabilities(part) {
        return;
    }
    if part.env.iter().any(|variable| variable.name == APT_PACKAGES) {
        let message = "apt-get fails without capabilities, and the container has none: have the packages in the image, or set \
                       securityContext: {capabilities: {add: [CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID]}} for it";
        notes.changed(&format!("{}.env[{APT_PACKAGES}]", part.field), "template", message);
    }
    for volume in part.pod.volumes.iter().flatten().filter(|volume| volume.host_path.is_some()) {
        let message = "a container that runs as root has no capabilities, so that it reads and writes only what root may by the \
                       mode of the files: set securityContext: {capabilities: {add: [CHOWN, DAC_OVERRIDE]}} for it where they are \
                       of other users";
        notes.changed(&format!("spec.volumes[{}].hostPath", volume.name), "template", message);
    }
}
