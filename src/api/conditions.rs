//! The closed sets of condition types and reason words.
//!
//! A reason is one word with one meaning, the same in conditions, events, run statuses and metrics.

use std::fmt;

/// The types of condition that daskflow writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The summary: the object does what its spec asks for.
    Ready,
    /// Work on the object is under way (kstatus).
    Reconciling,
    /// No progress is possible until a user changes something (kstatus).
    Stalled,
    /// The Dask scheduler answers.
    SchedulerReady,
    /// All wanted workers are registered with the scheduler.
    WorkersReady,
    /// The certificates that the spec asks for are there and good, and all pods have them.
    CertificatesReady,
    /// The cluster is suspended and its pods are deleted.
    Suspended,
    /// The schedule can be computed.
    ScheduleValid,
    /// The newest finished run succeeded.
    LastRunSucceeded,
    /// The run, or every tick of the backfill, has succeeded (as a Job's `Complete`).
    Complete,
    /// The run, or a tick of the backfill that has ended, is without success (as a Job's `Failed`).
    Failed,
}

impl ConditionType {
    /// The word in `status.conditions[].type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::SchedulerReady => "SchedulerReady",
            Self::WorkersReady => "WorkersReady",
            Self::CertificatesReady => "CertificatesReady",
            Self::Suspended => "Suspended",
            Self::ScheduleValid => "ScheduleValid",
            Self::LastRunSucceeded => "LastRunSucceeded",
            Self::Complete => "Complete",
            Self::Failed => "Failed",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Why a condition, an event or a run's phase is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each word says what it means; the ones that do not have a comment")]
        pub enum Reason { $($(#[$doc])* $name),+ }

        impl Reason {
            /// The word itself.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// Every reason that exists, in the order of this file.
            pub const ALL: &[Reason] = &[$(Self::$name),+];

            /// The reason of this word, if it is one of ours.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
            }
        }
    };
}

reasons! {
    // All kinds.
    /// The spec was read and does what it says.
    Ready,
    /// A change is being carried out.
    Progressing,
    /// The spec asks for something impossible.
    InvalidSpec,
    /// The operator cannot read the object: it is nested too deeply, or has a field of another type than this
    /// release knows.
    Unreadable,
    /// The API server refused an object that we made from the spec.
    Rejected,
    /// The operator lacks a right.
    Forbidden,
    /// An object of the name that we need exists and is not ours.
    NameTaken,
    /// The namespace's quota has no room.
    QuotaExceeded,
    /// The same call keeps failing.
    ReconcileFailing,
    Suspended,
    /// An object of dask-kubernetes is served, and something in it is different.
    Adapted,
    /// An object of dask-kubernetes is served by its own operator too.
    ServedTwice,
    /// A cluster that dask-kubernetes' own operator has made goes on as that has left it.
    NotTakenOver,
    // DaskCluster.
    SchedulerStarting,
    SchedulerUnreachable,
    /// The scheduler answers with more than the operator takes: 16 MiB, or 20,000 workers.
    AnswerTooLarge,
    SchedulerCreated,
    SchedulerReplaced,
    SchedulerLost,
    /// The scheduler's Service lets anybody outside of the Kubernetes cluster run code in the pods.
    SchedulerExposed,
    WorkersStarting,
    WorkersCreated,
    WorkersRetired,
    WorkerLost,
    /// The scheduler does not offer a worker for closing: its data cannot move.
    WorkersHeld,
    /// Workers that are being removed still have tasks, and their group waits for them.
    WorkersDraining,
    /// The autoscaler changed the number of workers of a group.
    WorkersScaled,
    /// The scheduler does not report its load, so that it is unknown how many workers are wanted.
    LoadUnknown,
    Outdated,
    /// The cluster has been idle for as long as `idle.after` says.
    Idle,
    /// An idle cluster is needed again.
    Woken,
    Suspending,
    // What the kubelet says of a container that does not start, in the kubelet's words.
    ImagePullBackOff,
    ErrImagePull,
    ErrImageNeverPull,
    InvalidImageName,
    CrashLoopBackOff,
    CreateContainerConfigError,
    CreateContainerError,
    RunContainerError,
    /// A pod has a node, and has waited for its volumes or its sandbox for a while.
    ContainerCreating,
    Unschedulable,
    // Flow.
    ScheduleValid,
    InvalidSchedule,
    InvalidTimeZone,
    NoSchedule,
    /// All clocks have ended, are suspended or have started all their runs.
    NoTicksAhead,
    ClusterNotFound,
    CodeNotFound,
    NoRunYet,
    TickMissed,
    // FlowRun.
    FlowNotFound,
    ConcurrencyForbidden,
    /// The run had a place and had not started when its Flow's `concurrency` became stricter; it waits again.
    PlaceGivenBack,
    /// As many runs of the Flow are active as `maxActive` allows.
    MaxActiveReached,
    /// As many runs wait as `maxQueued` allows.
    QueueFull,
    /// As many runs are active on the cluster as its `maxActiveRuns` allows.
    ClusterBusy,
    ClusterSuspended,
    ClusterCreated,
    ClusterNotReady,
    RunnerCreated,
    RunnerStarting,
    RunnerRunning,
    Succeeded,
    ScriptError,
    ParameterError,
    FlowFailed,
    NoFlowRan,
    RanOutsideCluster,
    RunnerError,
    OOMKilled,
    Evicted,
    /// The scheduler of Kubernetes gave the runner's place to a pod of higher priority.
    Preempted,
    NodeLost,
    /// The Dask scheduler, or the whole cluster, was lost during the run.
    ClusterLost,
    /// Somebody else's `client.restart()` or `client.shutdown()` ended the work of the run.
    ClusterRestarted,
    JobDeleted,
    ClusterTimeout,
    /// The Dask Gateway does not answer, or not as one does.
    GatewayUnreachable,
    /// The Dask Gateway does not do what it is asked for.
    GatewayRefused,
    /// It is not known whether the Dask Gateway has made a cluster, or has ended one.
    GatewayClusterUnknown,
    /// The attempt took longer than `timeout`.
    TimeoutExceeded,
    /// The run took longer than `deadline` in all.
    DeadlineExceeded,
    Cancelled,
    /// A newer run took the place of this one while it was active.
    Replaced,
    /// The deadline for starting passed while the run was waiting.
    StartingDeadlineExceeded,
    /// A newer tick took the place of this one while it was waiting.
    Superseded,
    Terminated,
    // FlowBackfill.
    /// All ticks have ended, some of them without success.
    RunsFailed,
    /// No clock ticks in the range.
    NoTicks,
    /// The range has more ticks than one backfill may have.
    TooManyTicks,
    // TLS.
    SecretNotFound,
    /// The Secret lacks a file, or it is empty.
    SecretKeyMissing,
    /// What should be a certificate or a private key is not PEM, or not X.509.
    CertificateNotPEM,
    /// The private key is another certificate's.
    KeyMismatch,
    CertificateExpired,
    CertificateNotYetValid,
    /// A certificate that not both Dask and rustls can use in both roles, such as one of X.509 version 1.
    UnsupportedCertificate,
    /// The private key has a password.
    KeyEncrypted,
    UnsupportedKey,
    /// No CA of `ca.crt` has issued the certificate, nor is it one of them.
    CertificateUntrusted,
    /// The other end does not take our certificate.
    CredentialsRefused,
    /// One end speaks TLS, the other does not.
    WrongScheme,
    CertificateIssued,
    CertificateRenewed,
    /// The certificate will expire and has not been renewed.
    CertificateExpiring,
    /// The certificate has not been issued yet.
    CertificateNotReady,
}

impl Reason {
    /// Whether a user has to correct a certificate, a Secret or an address.
    pub fn is_of_tls(self) -> bool {
        matches!(
            self,
            Self::SecretNotFound
                | Self::SecretKeyMissing
                | Self::CertificateNotPEM
                | Self::KeyMismatch
                | Self::CertificateExpired
                | Self::CertificateNotYetValid
                | Self::UnsupportedCertificate
                | Self::KeyEncrypted
                | Self::UnsupportedKey
                | Self::CertificateUntrusted
                | Self::CredentialsRefused
                | Self::WrongScheme
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
