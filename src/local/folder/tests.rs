//! Folders in the temporary directory, and one that stays.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::mpsc;

use super::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// An empty folder of a test.
fn place(test: &str) -> PathBuf {
    let place = std::env::temp_dir().join(format!("daskflow-folders-{test}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).unwrap();
    place
}

#[test]
fn what_a_killed_daskflow_left_is_taken_away_and_no_living_one_is_touched() {
    let below = place("killed");
    let new = |number: u64| Folder::new(&below, number << 32, NOW);
    let (killed, living) = (new(1).unwrap(), new(2).unwrap());
    let (left, kept) = (killed.pods().join("key"), living.pods().join("key"));
    fs::write(&left, "secret").unwrap();
    fs::write(&kept, "secret").unwrap();
    let (log, config) = (killed.logs().join("log"), killed.kubeconfig());
    fs::write(&log, "text").unwrap();
    // A process of it that still ends has its lock.
    let guard = killed.lock().try_clone().unwrap();
    fs::write(&config, "token").unwrap();
    drop(killed);
    let third = new(3).unwrap();
    assert!(left.exists(), "it is in use");
    drop(guard);
    let fourth = new(4).unwrap();
    assert_eq!((left.exists(), log.exists(), kept.exists()), (false, true, true));
    assert!(!config.exists());
    third.clear();
    assert!(!third.pods().exists());
    assert!(new(4).is_err(), "it is there");
    drop(fourth);
    fs::remove_dir_all(&below).unwrap();
}

#[test]
fn logs_are_left_for_a_week_and_for_as_long_as_their_daskflow_lives() {
    let below = place("week");
    let now = fs::metadata(&below).unwrap().modified().unwrap();
    let day = Duration::from_secs(24 * 3600);
    let (ended, living) = (Folder::new(&below, 1 << 32, now), Folder::new(&below, 2 << 32, now));
    let (ended, living) = (ended.unwrap(), living.unwrap());
    let folders = [ended.path().to_owned(), living.path().to_owned()];
    fs::create_dir(ended.logs().join("default")).unwrap();
    let log = File::create(ended.logs().join("default/a.log")).unwrap();
    log.set_modified(now + day).unwrap();
    drop(ended);
    let there = |number: u64, days: u32| {
        Folder::new(&below, number << 32, now + day * days).unwrap();
        folders.iter().map(|folder| folder.exists()).collect::<Vec<_>>()
    };
    assert_eq!(there(3, 7), [true, true], "its last line is six days old");
    assert_eq!(there(4, 9), [false, true]);
    fs::remove_dir_all(&below).unwrap();
}

#[test]
fn a_folder_that_stays_is_of_one_daskflow_at_a_time_and_of_one_user() {
    let path = place("kept").join("a/state");
    let first = Folder::kept(&path).unwrap();
    fs::write(first.pods().join("key"), "secret").unwrap();
    fs::write(first.kubeconfig(), "token").unwrap();
    let error = Folder::kept(&path).unwrap_err().to_string();
    let process = std::process::id();
    assert!(error.starts_with(&format!("another daskflow, process {process}, works in ")), "{error}");
    let guard = first.lock().try_clone().unwrap();
    drop(first);
    let ending = thread::spawn(move || {
        thread::sleep(LOOK * 3);
        drop(guard);
    });
    let second = Folder::kept(&path).unwrap();
    ending.join().unwrap();
    assert!(!second.pods().join("key").exists() && !second.kubeconfig().exists());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(second.path()), mode(&path.join(LOCK))), (0o700, 0o600));
    let error = Folder::kept(&path.join(LOCK).join("below")).unwrap_err().to_string();
    assert!(error.ends_with("a file is in its place: name a folder with --state"), "{error}");
}

#[test]
fn what_is_anothers_is_neither_read_nor_taken_away() {
    let below = place("others");
    let left = |name: &str, mode: u32| {
        let folder = below.join(format!("{PREFIX}{name}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(KUBECONFIG), "token").unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        folder
    };
    let (open, pipe) = (left("open", 0o755), left("pipe", 0o700));
    fs::write(open.join(LOCK), "").unwrap();
    assert!(Command::new("mkfifo").arg(pipe.join(LOCK)).status().unwrap().success());
    let (said, says) = mpsc::channel();
    let place = below.clone();
    thread::spawn(move || said.send(Folder::new(&place, 1 << 32, NOW).map(drop)));
    says.recv_timeout(Duration::from_secs(60)).expect("it waits at the pipe").unwrap();
    assert!(open.join(KUBECONFIG).exists() && pipe.join(KUBECONFIG).exists());
    fs::remove_dir_all(&below).unwrap();
}

#[test]
fn a_folder_of_somebody_else_is_refused_and_left_as_it_is() {
    let below = place("foreign");
    let there = |name: &str, mode: u32, files: &[&str]| {
        let folder = below.join(name);
        fs::create_dir(&folder).unwrap();
        for file in files {
            fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            fs::write(folder.join(file), "mine").unwrap();
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        folder
    };
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let files = ["pods/all.yaml", "kubeconfig", "lock"];
    let foreign = there("foreign", 0o755, &files);
    let error = Folder::kept(&foreign).unwrap_err().to_string();
    assert!(error.ends_with("name a new or an empty folder with --state"), "{error}");
    for file in files {
        assert_eq!(fs::read_to_string(foreign.join(file)).unwrap(), "mine", "{file}");
    }
    // As the temporary directory is.
    let open = there("open", 0o1777, &[]);
    let error = Folder::kept(&open).unwrap_err().to_string();
    assert!(error.starts_with("others may write in "), "{error}");
    assert!(fs::read_dir(&open).unwrap().next().is_none());
    assert_eq!((mode(&foreign), mode(&open)), (0o755, 0o1777));
    // An empty one is taken, once more too; one that has objects is of an earlier release.
    let empty = there("empty", 0o755, &[]);
    for _ in 0..2 {
        fs::write(Folder::kept(&empty).unwrap().pods().join("key"), "secret").unwrap();
    }
    let closed = [LOCK, MARK].map(|file| mode(&empty.join(file)));
    assert_eq!((closed, mode(&empty.join(PODS)), mode(&empty)), ([0o600; 2], 0o700, 0o755));
    Folder::kept(&there("earlier", 0o700, &[OBJECTS, "pods/left"])).unwrap();
    assert!(!below.join("earlier/pods/left").exists());
    fs::remove_dir_all(&below).unwrap();
}
