//! Logs of one pod, in a file that the test writes.

use std::fs::OpenOptions;
use std::io::Write;

use tokio_util::task::AbortOnDropHandle;

use super::*;

struct World {
    logs: Logs,
    file: PathBuf,
    folder: PathBuf,
}

impl World {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("daskflow-logs-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let clock = Clock::starting_at(Timestamp::from_second(100).unwrap());
        Self { logs: Logs::new(clock), file: folder.join("log"), folder }
    }

    fn write(&self, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn begin(&self) {
        self.logs.begin("u", "main", &self.file);
    }

    fn log(&self, previous: bool, follow: bool) -> Option<Log> {
        let request = LogRequest {
            namespace: "default".to_owned(),
            pod: "p".to_owned(),
            uid: "u".to_owned(),
            container: "main".to_owned(),
            previous,
            follow,
        };
        self.logs.log(&request)
    }

    fn said(&self, previous: bool) -> Option<Vec<String>> {
        Some(texts(&self.log(previous, false)?.there))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn texts(lines: &[LogLine]) -> Vec<String> {
    lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_start_has_its_part_of_the_file() {
    let world = World::new("parts");
    assert!(world.log(false, false).is_none(), "it has not begun");
    // Of another pod of this name.
    world.write("old\n");
    world.begin();
    world.write("one\nhalf");
    assert_eq!(world.said(false), Some(owned(&["one", "half"])));
    assert_eq!(world.said(true), None);
    world.logs.end("u");
    assert_eq!(world.said(true), None, "it is over");
    world.logs.wait("u");
    assert_eq!(
        (world.said(false), world.said(true)),
        (Some(owned(&["one", "half"])), Some(owned(&["one", "half"])))
    );
    world.begin();
    world.write("two\n");
    assert_eq!((world.said(false), world.said(true)), (Some(owned(&["two"])), Some(owned(&["one", "half"]))));
    world.begin();
    assert_eq!((world.said(false), world.said(true)), (Some(owned(&[])), Some(owned(&["two"]))));
    world.logs.forget("u");
    assert_eq!(world.said(false), None);
}

#[tokio::test(start_paused = true)]
async fn a_line_is_as_old_as_the_look_that_saw_it_first() {
    let world = World::new("times");
    world.begin();
    world.write("one\n");
    let look = world.logs.clone();
    let looking = AbortOnDropHandle::new(tokio::spawn(async move { look.look_always().await }));
    sleep(Duration::from_millis(1500)).await;
    world.write("two\n");
    sleep(Duration::from_secs(5)).await;
    drop(looking);
    world.write("three\n");
    let log = world.log(false, false).unwrap();
    let times: Vec<i64> = log.there.iter().map(|line| line.at.as_second()).collect();
    assert_eq!(times, [101, 102, 106]);
}

#[tokio::test(start_paused = true)]
async fn a_log_is_followed_to_its_end_in_whole_lines() {
    let world = World::new("follow");
    world.begin();
    world.write("one\nha");
    let mut log = world.log(false, true).unwrap();
    assert_eq!(texts(&log.there), ["one"]);
    world.write("lf\nlast");
    assert_eq!(log.then.next().await.unwrap().text, b"half");
    world.logs.end("u");
    // Another start is not the same log.
    world.write(" word");
    assert_eq!(log.then.next().await.unwrap().text, b"last word");
    assert_eq!(log.then.next().await, None);
    world.begin();
    let other = world.log(true, true).unwrap();
    assert_eq!(texts(&other.there), ["one", "half", "last word"]);
    assert_eq!(other.then.count().await, 0, "what is over is not followed");
}

#[tokio::test(start_paused = true)]
async fn of_a_long_log_the_end_is_shown() {
    let world = World::new("long");
    world.begin();
    let line = format!("{}\n", "a".repeat(1023));
    world.write(&line.repeat(10 * 1024));
    world.write("last\n");
    let log = world.log(false, false).unwrap();
    assert_eq!(log.there.len(), 10 * 1024, "a line that is cut is left out");
    assert_eq!(log.there.last().unwrap().text, b"last");
}

#[test]
fn lengths_are_forgotten_where_there_are_many() {
    let world = World::new("many");
    world.begin();
    let mut all = world.logs.lock();
    let known = all.get_mut("u").unwrap();
    known.lengths = (0..LENGTHS_MAX as u64).map(|length| (length, Timestamp::UNIX_EPOCH)).collect();
    world.write(&"a".repeat(2 * LENGTHS_MAX));
    known.look(Timestamp::MAX);
    assert_eq!(known.lengths.len(), LENGTHS_MAX / 2 + 1);
    assert_eq!(known.lengths.last(), Some(&(2 * LENGTHS_MAX as u64, Timestamp::MAX)));
}

#[test]
fn the_log_of_a_pod_of_an_earlier_daskflow_is_shown_and_has_ended() {
    let world = World::new("earlier");
    world.logs.take_over("u", "main", &world.file);
    assert_eq!(world.said(false), None, "there is none");
    world.write("one\ntwo");
    world.logs.take_over("u", "main", &world.file);
    assert_eq!(world.said(false), Some(owned(&["one", "two"])));
    assert_eq!(world.said(true), None);
    let log = world.log(false, true).unwrap();
    let modified = world.file.metadata().unwrap().modified().unwrap();
    assert_eq!(log.there[1].at, Timestamp::try_from(modified).unwrap());
    // One that this daskflow started is known better.
    world.begin();
    world.logs.take_over("u", "main", &world.file);
    world.write("\nthree\n");
    assert_eq!(world.log(true, false).unwrap().there.len(), 2);
}
