//! Disks that fail, and files that are not what they should be.

use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use serde_json::json;

use super::*;
use crate::cluster_api::ClusterApi;

/// Random numbers, the same for the same seed (`SplitMix64`).
struct Rng(u64);

impl Rng {
    /// One below a number.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    /// Some letters.
    fn text(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b"abcdefghijklmnop"[self.below(16)])).collect()
    }
}

/// A write that was not synced.
#[derive(Clone, Debug)]
struct Write(u64, Vec<u8>);

#[derive(Debug, Default)]
struct Media {
    /// What is there after the power went.
    synced: Vec<u8>,
    /// What is there as long as it did not.
    now: Vec<u8>,
    unsynced: Vec<Write>,
    /// How many more writes and syncs there are before it refuses, and with which error of the system.
    ends: Option<(u32, i32)>,
}

/// A disk that fails when a test says so, and loses some of what was not synced.
#[derive(Clone, Debug, Default)]
struct Flash(Arc<Mutex<Media>>);

impl Flash {
    /// It refuses after so many writes and syncs, with this error of the system.
    fn ends_after(&self, steps: u32, error: i32) {
        self.0.lock().unwrap().ends = Some((steps, error));
    }

    /// What is left when the power goes: of what was not synced some, some in part, some not.
    fn after_the_power_went(&self, rng: &mut Rng) -> Self {
        let media = self.0.lock().unwrap();
        let mut left = media.synced.clone();
        left.resize(media.now.len().max(left.len()), 0);
        for Write(offset, bytes) in &media.unsynced {
            let count = [0, rng.below(bytes.len() + 1), bytes.len()][rng.below(3)];
            let at = usize::try_from(*offset).unwrap();
            let end = (at + count).min(left.len());
            left[at.min(end)..end].copy_from_slice(&bytes[..end.saturating_sub(at)]);
        }
        let media = Media { synced: left.clone(), now: left, ..Media::default() };
        Self(Arc::new(Mutex::new(media)))
    }

    fn step(&self) -> io::Result<()> {
        match &mut self.0.lock().unwrap().ends {
            Some((0, error)) => Err(io::Error::from_raw_os_error(*error)),
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for Flash {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        let media = self.0.lock().unwrap();
        let read = media.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(read);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step()?;
        self.0.lock().unwrap().now.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step()?;
        let mut media = self.0.lock().unwrap();
        media.synced = media.now.clone();
        media.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step()?;
        let mut media = self.0.lock().unwrap();
        let at = usize::try_from(offset).unwrap();
        media.now[at..at + data.len()].copy_from_slice(data);
        media.unsynced.push(Write(offset, data.to_vec()));
        Ok(())
    }
}

/// A disk on this.
fn disk_on(flash: &Flash) -> Disk {
    Disk::on(flash.clone()).unwrap()
}

type Model = BTreeMap<(usize, Key), Value>;

fn change(version: u64, rng: &mut Rng, model: &mut Model) -> Change {
    let kinds = ["configmaps", "secrets", "pods"].map(|plural| kinds::find("", "v1", plural).unwrap().stored);
    let stored = kinds[rng.below(3)];
    let key = Key::new("n", &format!("o{}", rng.below(12)));
    let place = (stored, key.clone());
    let before = model.remove(&place).map(Arc::new);
    let after = (rng.below(2) == 0).then(|| {
        let length = rng.below(6000);
        let text = rng.text(length);
        json!({"metadata": {"resourceVersion": version.to_string()}, "text": text})
    });
    if let Some(after) = &after {
        model.insert(place, after.clone());
    }
    Change { version, stored, key, before, after: after.map(Arc::new) }
}

fn saved(disk: &Disk) -> (u64, Model) {
    let saved = disk.load().unwrap();
    (saved.version, saved.objects.into_iter().map(|(stored, key, object)| ((stored, key), object)).collect())
}

/// Against a model: whenever the power goes, there is all that was saved, and of what was about to be
/// saved all or nothing.
#[test]
fn whenever_the_power_goes_what_was_saved_is_there() {
    let mut cut = 0;
    for seed in 0..60 {
        let mut rng = Rng(seed);
        let mut flash = Flash::default();
        drop(disk_on(&flash));
        let (mut version, mut model) = (0, Model::new());
        for _ in 0..6 {
            let disk = disk_on(&flash);
            assert_eq!(saved(&disk), (version, model.clone()), "seed {seed}");
            flash.ends_after(u32::try_from(rng.below(120)).unwrap(), 5);
            let mut about = (version, model.clone());
            for _ in 0..20 {
                let changes: Vec<Change> = (0..=rng.below(3))
                    .map(|_| {
                        about.0 += 1;
                        change(about.0, &mut rng, &mut about.1)
                    })
                    .collect();
                if disk.save(&changes, about.0).is_err() {
                    cut += 1;
                    break;
                }
                (version, model) = about.clone();
            }
            drop(disk);
            flash = flash.after_the_power_went(&mut rng);
            let after = saved(&disk_on(&flash));
            assert!(after == (version, model.clone()) || after == about, "seed {seed}, after {version}");
            (version, model) = after;
        }
    }
    assert!(cut > 100, "only {cut} commits were cut");
}

#[test]
fn the_file_is_of_one_user_and_one_process_and_a_later_format_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::env::temp_dir().join(format!("daskflow-disk-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("objects.redb");
    let disk = Disk::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(Disk::open(&path), Err(DiskError::Storage(_))), "it is open");
    let transaction = disk.0.begin_write().unwrap();
    transaction.open_table(NUMBERS).unwrap().insert(FORMAT, FORMAT_NOW + 1).unwrap();
    transaction.commit().unwrap();
    drop(disk);
    let error = Disk::open(&path).unwrap_err().to_string();
    assert!(error.starts_with("its format is 2, and this daskflow knows no later one than 1"), "{error}");
    fs::write(&path, "no file of objects").unwrap();
    assert!(matches!(Disk::open(&path), Err(DiskError::Storage(_))));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_object_that_is_kept_has_a_name_that_leads_back_to_it() {
    for kind in kinds::all().iter().filter(|kind| kind.writable && !kind.is_new_event()) {
        let key = Key::new(if kind.namespaced { "n" } else { "" }, "a.b-c");
        assert_eq!(placed(&name(kind, &key)), Some((kind.stored, key)), "{}", kind.plural);
    }
    assert_eq!(placed("widgets.example.com/n/a"), None);
}

/// What could not be written is never answered as if it were, and whoever runs the API hears why.
#[tokio::test]
async fn on_a_full_disk_nothing_is_said_to_be_kept() {
    let flash = Flash::default();
    let api = ClusterApi::kept(|| jiff::Timestamp::UNIX_EPOCH, 1, disk_on(&flash)).unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(api.client());
    let map = |name: &str| ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    };
    maps.create(&PostParams::default(), &map("first")).await.unwrap();
    // ENOSPC.
    flash.ends_after(1, 28);
    let refused = maps.create(&PostParams::default(), &map("second")).await.unwrap_err();
    let kube::Error::Api(status) = &refused else { panic!("{refused}") };
    assert!(status.code == 500 && status.message.contains("the objects cannot be kept"), "{status:?}");
    let fault = api.disk_fault().await;
    assert_eq!(fault.of_disk().unwrap().kind(), io::ErrorKind::StorageFull, "{fault:?}");
    assert!(maps.get("first").await.is_err(), "it is at its end");
    drop((maps, api));
    let left = flash.after_the_power_went(&mut Rng(1));
    let (_, objects) = saved(&disk_on(&left));
    let names: Vec<&str> = objects.keys().map(|(_, key)| key.name.as_str()).collect();
    assert!(names.contains(&"first"), "{names:?}");
}
