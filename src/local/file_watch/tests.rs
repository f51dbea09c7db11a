//! Files of a folder, on the API in this process.

use std::sync::Mutex;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use tokio::time::timeout;

use super::*;
use crate::cluster_api::ClusterApi;
use crate::daemon::clock::Clock;
use crate::local::folder::Folder;
use crate::local::news::News;
use crate::local::python::Python;
use crate::manifest;

/// All files of a folder. Counts how often they are read.
#[derive(Debug)]
struct All(PathBuf, Mutex<usize>);

impl Manifests for All {
    fn paths(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<PathBuf> =
            all.filter(|path| path.extension().is_some_and(|kind| kind == "yaml")).collect();
        all.sort();
        all
    }

    fn read(&self) -> Result<Vec<(String, Checked)>, Vec<String>> {
        *self.1.lock().unwrap() += 1;
        let mut files = Vec::new();
        for path in self.paths() {
            let name = path.display().to_string();
            let checked = manifest::check(&fs::read_to_string(&path).unwrap());
            if let Some(fault) = checked.faults.first() {
                return Err(vec![format!("{name}:{}: {}", fault.line, fault.message)]);
            }
            files.push((name, checked));
        }
        Ok(files)
    }
}

/// A folder that is watched.
struct World {
    folder: PathBuf,
    all: Arc<All>,
    maps: Api<ConfigMap>,
    _watch: tokio_util::task::AbortOnDropHandle<()>,
}

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: {value}}}\n")
}

impl World {
    async fn new(test: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("daskflow-watch-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        let all = Arc::new(All(folder.clone(), Mutex::default()));
        let client = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1).client();
        let objects = Objects::of(&all.read().unwrap()).unwrap();
        let applied = Applied::new(&client, objects).await.unwrap();
        let (manifests, machine) = (all.clone(), machine(&folder));
        let watch = tokio::spawn(async move {
            FileWatch { manifests, applied, machine: &machine }.follow().await;
        });
        let maps = Api::default_namespaced(Client::clone(&client));
        Self { folder, all, maps, _watch: tokio_util::task::AbortOnDropHandle::new(watch) }
    }

    /// Waits until a ConfigMap has this value; none: until it is not there.
    async fn until(&self, name: &str, value: Option<&str>) {
        let is = |map: Option<&ConfigMap>| {
            let data = map.map(|map| map.data.clone().unwrap_or_default());
            data.map(|data| data.into_values().next().unwrap_or_default()).as_deref() == value
        };
        let found = timeout(Duration::from_secs(600), await_condition(self.maps.clone(), name, is)).await;
        found.unwrap_or_else(|_| panic!("{name} is not {value:?}")).unwrap();
    }

    /// Waits until the files were read once more.
    async fn is_read(&self, before: usize) {
        while *self.all.1.lock().unwrap() <= before {
            sleep(LOOK).await;
        }
        // What was read may be applied after it.
        sleep(4 * LOOK).await;
    }

    fn reads(&self) -> usize {
        *self.all.1.lock().unwrap()
    }

    fn save(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn machine(folder: &Path) -> Machine {
    let clock = Clock::of_machine();
    let python = Python { path: "/bin/sh".into(), version: String::new(), distributed: String::new() };
    Machine {
        python,
        folder: Folder::new(folder, 0, clock.now().into()).unwrap(),
        maps: Vec::new(),
        env: Vec::new(),
        shows_runs: false,
        news: News::new(clock),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_saved_is_applied_and_what_is_deleted_is_deleted() {
    let world = World::new("saved", &[("a.yaml", &map("one", "old")), ("b.yaml", &map("two", "old"))]).await;
    world.save("a.yaml", &map("one", "new"));
    world.until("one", Some("new")).await;
    // An editor puts another file in its place.
    world.save("a.yaml~", &map("one", "newer"));
    fs::rename(world.folder.join("a.yaml~"), world.folder.join("a.yaml")).unwrap();
    world.until("one", Some("newer")).await;
    world.save("c.yaml", &map("three", "old"));
    world.until("three", Some("old")).await;
    fs::remove_file(world.folder.join("b.yaml")).unwrap();
    world.until("two", None).await;
    world.until("one", Some("newer")).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_or_empty_changes_nothing_until_it_is_mended() {
    let world = World::new("broken", &[("a.yaml", &map("one", "old")), ("b.yaml", &map("two", "old"))]).await;
    world.save("a.yaml", &map("one", "new"));
    world.until("one", Some("new")).await;
    for broken in ["", "apiVersion: v1\nkind: [ConfigMap\n"] {
        let before = world.reads();
        world.save("a.yaml", broken);
        world.is_read(before).await;
        let before = world.reads();
        world.save("b.yaml", &map("two", "other"));
        world.is_read(before).await;
        world.until("one", Some("new")).await;
        world.until("two", Some("old")).await;
        world.save("b.yaml", &map("two", "old"));
    }
    world.save("a.yaml", &map("one", "mended"));
    world.until("one", Some("mended")).await;
}

#[tokio::test(start_paused = true)]
async fn what_config_maps_are_made_of_is_watched_too() {
    let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nconfigMapGenerator: [{name: code, files: [etl.py]}]\n";
    let world = World::new(
        "made",
        &[("kustomization.yaml", kustomization), ("etl.py", "print(1)"), ("z.yaml", &map("z", "z"))],
    )
    .await;
    world.until("code", Some("print(1)")).await;
    // It is known by the first time that the files are read.
    world.is_read(1).await;
    world.save("etl.py", "print(22)");
    world.until("code", Some("print(22)")).await;
    let before = world.reads();
    fs::remove_file(world.folder.join("etl.py")).unwrap();
    world.is_read(before).await;
    world.until("code", Some("print(22)")).await;
    world.save("etl.py", "print(333)");
    world.until("code", Some("print(333)")).await;
}

#[test]
fn a_change_is_any_of_what_is_known_of_a_file() {
    let stamp = |length: u64, number: u64| Some((length, number, (0, 0), (0, 0)));
    let before = Look::from([("a".into(), stamp(1, 1)), ("b".into(), stamp(1, 1)), ("c".into(), None)]);
    let now = Look::from([("a".into(), stamp(1, 2)), ("c".into(), stamp(0, 3)), ("d".into(), None)]);
    assert_eq!(changed(&before, &now), ["a", "b", "c", "d"].map(PathBuf::from));
    assert_eq!(changed(&now, &now), Vec::<PathBuf>::new());
    assert_eq!(emptied(&before, &now), None, "it was not there");
    let now = Look::from([("a".into(), stamp(0, 2))]);
    assert!(emptied(&before, &now).unwrap().starts_with("a is empty"));
    assert_eq!(emptied(&now, &now), None);
}
