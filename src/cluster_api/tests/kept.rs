//! An API whose objects are kept, over its restarts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};

use super::*;
use crate::cluster_api::Disk;

/// A folder that goes with its test.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let place = std::env::temp_dir().join(format!("daskflow-kept-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir_all(&place).unwrap();
        Self(place)
    }

    fn file(&self) -> PathBuf {
        self.0.join("objects.redb")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The API of a file, once the one before has let go of it: its clients end a moment after they are dropped.
async fn kept(file: &Path, seed: u64) -> ClusterApi {
    let clock = || Timestamp::from_second(START).unwrap();
    let open = async {
        loop {
            match Disk::open(file) {
                Ok(disk) => return disk,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let disk = tokio::time::timeout(Duration::from_secs(60), open).await.unwrap();
    ClusterApi::kept(clock, seed, disk).unwrap()
}

fn service(name: &str) -> Service {
    object(json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}))
}

#[tokio::test]
async fn objects_outlive_their_process_and_versions_go_on() {
    let place = Place::new("restart");
    let api = kept(&place.file(), 1).await;
    create(&api, &["a", "b"]).await;
    let services: Api<Service> = Api::default_namespaced(api.client());
    let first = services.create(&PostParams::default(), &service("first")).await.unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(api.client());
    let secret = object(json!({"metadata": {"name": "s"}, "stringData": {"key": "open"}}));
    let secret = secrets.create(&PostParams::default(), &secret).await.unwrap();
    pods(&api).delete("b", &DeleteParams::default()).await.unwrap();
    let before = pods(&api).get("a").await.unwrap();
    let namespaces: Api<Namespace> = Api::all(api.client());
    let namespace = namespaces.get("default").await.unwrap();
    let (version, all) = (api.version(), pods(&api).list(&ListParams::default()).await.unwrap());
    drop((api, services, secrets, namespaces));

    let api = kept(&place.file(), 2).await;
    assert!(api.version() > version);
    assert_eq!(pods(&api).list(&ListParams::default()).await.unwrap().items, all.items);
    assert_eq!(pods(&api).get("a").await.unwrap(), before);
    let namespaces: Api<Namespace> = Api::all(api.client());
    assert_eq!(namespaces.get("default").await.unwrap(), namespace);
    let secrets: Api<Secret> = Api::default_namespaced(api.client());
    assert_eq!(secrets.get("s").await.unwrap(), secret);
    let services: Api<Service> = Api::default_namespaced(api.client());
    let second = services.create(&PostParams::default(), &service("second")).await.unwrap();
    let address = |service: Service| service.spec.unwrap().cluster_ip.unwrap();
    assert_ne!(address(first), address(second));
    // What is written next is newer than all before.
    create(&api, &["c"]).await;
    let number = |pod: &Pod| pod.metadata.resource_version.clone().unwrap().parse::<u64>().unwrap();
    assert!(number(&pods(&api).get("c").await.unwrap()) > version);
}

#[tokio::test]
async fn a_watch_of_before_is_told_to_list_again_and_a_new_one_goes_on() {
    let place = Place::new("watch");
    let api = kept(&place.file(), 1).await;
    create(&api, &["a"]).await;
    let before = api.version().to_string();
    drop(api);
    let api = kept(&place.file(), 2).await;
    let mut old = pods(&api).watch(&WatchParams::default(), &before).await.unwrap().boxed();
    let event = old.try_next().await.unwrap().unwrap();
    assert!(matches!(&event, WatchEvent::Error(status) if status.code == 410), "{event:?}");
    let listed = pods(&api).list(&ListParams::default()).await.unwrap();
    let version = listed.metadata.resource_version.unwrap();
    let mut new = pods(&api).watch(&WatchParams::default(), &version).await.unwrap().boxed();
    create(&api, &["b"]).await;
    let event = new.try_next().await.unwrap().unwrap();
    assert!(
        matches!(&event, WatchEvent::Added(pod) if pod.metadata.name.as_deref() == Some("b")),
        "{event:?}"
    );
}

/// Many at once are written together, and each is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_the_same_time_share_the_disk() {
    let place = Place::new("many");
    let api = kept(&place.file(), 1).await;
    let names: Vec<String> = (0..200).map(|number| format!("p{number:03}")).collect();
    let all = names.iter().map(|name| {
        let (pods, pod) = (pods(&api), pod(name));
        async move { pods.create(&PostParams::default(), &pod).await.map(drop) }
    });
    futures::future::try_join_all(all).await.unwrap();
    drop(api);
    let api = kept(&place.file(), 2).await;
    let listed = pods(&api).list(&ListParams::default()).await.unwrap();
    let there: Vec<String> = listed.items.into_iter().filter_map(|pod| pod.metadata.name).collect();
    assert_eq!(there, names);
}
