//! Real Dask schedulers and workers that speak TLS, of releases from 2022 to now.
//!
//! `DASKFLOW_DASK_VENVS` names the list that `tests/dask/venvs.sh` writes; without it these tests are left
//! out and say so (`DASKFLOW_DASK_REQUIRED=1`: they fail).

use super::certificates::{Authority, Pair, self_signed_authority, self_signed_plain};
use super::processes::{Cluster, python_with, scratch};
use daskflow::dask::{Address, Credentials, Error, MembershipStream, Retirement, Scheduler, Scheme};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a call may take on a machine that is starting many processes.
const PLENTY: Duration = Duration::from_secs(60);

/// How long one test may take.
const TEST_LIMIT: Duration = Duration::from_secs(170);

/// The tests, for one release each.
macro_rules! release {
    ($module:ident, $release:literal) => {
        mod $module {
            #[tokio::test]
            async fn a_cluster_is_followed_and_sized_over_tls() {
                super::limited($release, super::a_cluster_is_followed_and_sized_over_tls).await;
            }

            #[tokio::test]
            async fn who_shows_no_right_certificate_is_refused() {
                super::limited($release, super::who_shows_no_right_certificate_is_refused).await;
            }

            #[tokio::test]
            async fn tls_to_a_plain_scheduler_is_the_wrong_scheme() {
                super::limited($release, super::tls_to_a_plain_scheduler_is_the_wrong_scheme).await;
            }

            #[tokio::test]
            async fn one_self_signed_certificate_does_for_all() {
                super::limited($release, super::one_self_signed_certificate_does_for_all).await;
            }
        }
    };
}

release!(dask_2022_2_0, "2022.2.0");
release!(dask_2023_4_1, "2023.4.1");
release!(dask_2024_3_1, "2024.3.1");
release!(dask_2026_8_0, "2026.8.0");

async fn limited<F: AsyncFnOnce(&str)>(release: &str, test: F) {
    if python_with(release).is_some() {
        timeout(TEST_LIMIT, test(release)).await.expect("the test takes too long");
    }
}

/// A scheduler that believes `ca` and shows `shown`; so do its workers and clients.
async fn secured(release: &str, ca: &str, shown: &Pair) -> Cluster {
    let folder = scratch();
    let mut files = BTreeMap::new();
    for (name, text) in [("ca-file", ca), ("cert", &shown.certificate), ("key", &shown.key)] {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        files.insert(name, file.to_str().unwrap().to_owned());
    }
    let mut arguments: Vec<String> =
        files.iter().flat_map(|(name, file)| [format!("--tls-{name}"), file.clone()]).collect();
    arguments.extend(["--protocol".to_owned(), "tls".to_owned()]);
    let settings = [("CA_FILE", "ca-file"), ("CLIENT__CERT", "cert"), ("CLIENT__KEY", "key")]
        .map(|(name, file)| (format!("DASK_DISTRIBUTED__COMM__TLS__{name}"), files[file].clone()));
    let cluster = Cluster::start_told(python_with(release).unwrap(), settings.to_vec(), arguments).await;
    assert_eq!(cluster.address.scheme(), Scheme::Tls);
    cluster
}

fn credentials(ca: &str, ours: &Pair) -> Credentials {
    Credentials::from_pem(ca.as_bytes(), ours.certificate.as_bytes(), ours.key.as_bytes()).unwrap()
}

async fn connect(address: &Address, ours: &Credentials) -> Scheduler {
    Scheduler::connect(address, Some(ours), PLENTY).await.unwrap().with_call_limit(PLENTY)
}

async fn refused(address: &Address, ours: &Credentials) -> [Error; 2] {
    [
        Scheduler::connect(address, Some(ours), PLENTY).await.unwrap_err(),
        MembershipStream::connect(address, Some(ours), PLENTY).await.unwrap_err(),
    ]
}

/// Follows the stream until the workers are these.
async fn until(stream: &mut MembershipStream, names: &[&str]) {
    loop {
        let workers = &stream.membership().workers;
        let mut members: Vec<String> = workers.values().map(ToString::to_string).collect();
        members.sort_unstable();
        if members == names {
            return;
        }
        stream.next(PLENTY).await.unwrap().expect("nothing is heard");
    }
}

async fn a_cluster_is_followed_and_sized_over_tls(release: &str) {
    let ca = Authority::new("ca");
    let cluster = secured(release, &ca.pem, &ca.issue(&["scheduler.flows.svc"])).await;
    let ours = credentials(&ca.pem, &ca.issue(&[]));
    let mut stream = MembershipStream::connect(&cluster.address, Some(&ours), PLENTY).await.unwrap();
    let _second = cluster.worker("w2");
    let mut first = cluster.worker("w1");
    until(&mut stream, &["w1", "w2"]).await;

    let mut scheduler = connect(&cluster.address, &ours).await;
    let identity = scheduler.identity().await.unwrap();
    assert_eq!(identity.id, stream.scheduler_id());
    assert_eq!(identity.address.as_deref(), Some(cluster.address.to_string().as_str()));
    assert_eq!(identity.workers.len(), 2);
    assert!(identity.workers.keys().all(|address| address.starts_with("tls://")), "{identity:?}");
    while !scheduler.is_idle().await.unwrap() {
        sleep(Duration::from_millis(20)).await;
    }

    // A client hands work over, and shows that the files are as Dask wants them.
    let mut load = cluster.load(&["work"]).await;
    while scheduler.adaptive_target(Duration::from_secs(1)).await.unwrap() == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    while scheduler.activity().await.unwrap().in_flight == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    let (is_idle, _) = scheduler.idleness(false).await.unwrap();
    assert_eq!(is_idle, Some(false));
    load.kill().await;
    while !scheduler.is_idle().await.unwrap() {
        sleep(Duration::from_millis(20)).await;
    }

    let retired = scheduler.retire_workers(&Retirement::of(["w1"]), PLENTY).await.unwrap();
    assert_eq!(retired.values().map(|worker| worker.name.clone()).collect::<Vec<_>>(), ["w1".into()]);
    until(&mut stream, &["w2"]).await;
    let status = first.ended().await;
    assert!(status.success(), "{status}");
    scheduler.terminate().await.unwrap();
    while stream.next(PLENTY).await.is_ok() {}
}

async fn who_shows_no_right_certificate_is_refused(release: &str) {
    let ca = Authority::new("ca");
    let cluster = secured(release, &ca.pem, &ca.issue(&["scheduler.flows.svc"])).await;
    let address = &cluster.address;

    let plain = Address::new(Scheme::Tcp, address.host(), address.port()).unwrap();
    let error = Scheduler::connect(&plain, None, PLENTY).await.unwrap_err();
    assert!(matches!(error, Error::WrongScheme(_)), "{error:?}");

    let strangers = [
        (Authority::new("strangers").issue(&[]), "does not know who issued it"),
        (self_signed_plain(&[]), "does not know who issued it"),
        (ca.issue_expired(&[]), "has expired by the scheduler's clock"),
    ];
    for (stranger, part) in strangers {
        for error in refused(address, &credentials(&ca.pem, &stranger)).await {
            assert!(matches!(error, Error::CredentialsRefused { .. }), "{error:?}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    let right = ca.issue(&[]);
    for error in refused(address, &credentials(&Authority::new("other").pem, &right)).await {
        assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    }
    let ours = credentials(&ca.pem, &right);
    for error in refused(address, &ours.clone().checking_host_name("scheduler").unwrap()).await {
        assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    }
    for ours in [ours.clone(), ours.checking_host_name("scheduler.flows.svc").unwrap()] {
        assert!(connect(address, &ours).await.ncores().await.unwrap().is_empty());
    }
}

async fn one_self_signed_certificate_does_for_all(release: &str) {
    for all in [self_signed_authority("all"), self_signed_plain(&["scheduler"])] {
        let cluster = secured(release, &all.certificate, &all).await;
        let ours = credentials(&all.certificate, &all);
        let mut stream = MembershipStream::connect(&cluster.address, Some(&ours), PLENTY).await.unwrap();
        let _worker = cluster.worker("w1");
        until(&mut stream, &["w1"]).await;
        assert_eq!(connect(&cluster.address, &ours).await.ncores().await.unwrap().len(), 1);
    }
}

/// It is told, and the scheduler lives on: see `daskflow::dask::tls`.
async fn tls_to_a_plain_scheduler_is_the_wrong_scheme(release: &str) {
    let cluster = Cluster::start(python_with(release).unwrap()).await;
    let address = Address::new(Scheme::Tls, cluster.address.host(), cluster.address.port()).unwrap();
    let ca = Authority::new("ca");
    for error in refused(&address, &credentials(&ca.pem, &ca.issue(&[]))).await {
        assert!(matches!(error, Error::WrongScheme(text) if text.contains("tcp:// for tls://")), "{error:?}");
    }
    let mut scheduler = Scheduler::connect(&cluster.address, None, PLENTY).await.unwrap();
    assert!(scheduler.ncores().await.unwrap().is_empty());
}
