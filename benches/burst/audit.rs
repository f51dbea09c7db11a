//! Who asked the API server for what and when, by its audit log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;

/// One answered request.
#[derive(Debug)]
pub struct Request {
    pub verb: String,
    /// With the subresource after a slash.
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub dry_run: bool,
    pub code: u16,
    /// When it was answered.
    pub at: Timestamp,
}

impl Request {
    /// Whether it asked for a change. Leases are renewed whatever there is to do, and are no part of it.
    pub fn writes(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
            && self.resource != "leases"
    }

    pub fn creates(&self, resource: &str) -> bool {
        self.verb == "create" && self.resource == resource && self.code == 201 && !self.dry_run
    }

    /// Verb and resource, and what came of it where that is no success.
    pub fn kind(&self) -> String {
        let mut kind = format!("{} {}", self.verb, self.resource);
        if self.dry_run {
            kind += " (dry run)";
        }
        if self.code >= 300 { format!("{kind} {}", self.code) } else { kind }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: Option<About>,
    #[serde(default)]
    response_status: Answer,
    #[serde(rename = "requestURI")]
    request_uri: String,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
struct About {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    subresource: Option<String>,
}

#[derive(Default, Deserialize)]
struct Answer {
    #[serde(default)]
    code: u16,
}

/// The requests of one user about objects, from when this was made.
pub struct Audit {
    path: PathBuf,
    user: String,
    offset: u64,
    /// All that were read so far.
    pub requests: Vec<Request>,
}

impl Audit {
    pub fn from_now(path: &str, user: &str) -> Self {
        let offset = std::fs::metadata(path).unwrap_or_else(|error| panic!("{path}: {error}")).len();
        Self { path: path.into(), user: user.to_owned(), offset, requests: Vec::new() }
    }

    /// Reads what the log has got since. The last line may not be written to its end yet.
    pub fn read(&mut self) {
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(self.offset)).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.offset += whole as u64;
        let quoted = format!("\"{}\"", self.user);
        let text = String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default());
        // Most lines are about others.
        for line in text.lines().filter(|line| line.contains(&quoted)) {
            let event: Event = serde_json::from_str(line).unwrap();
            let Some(about) = event.object_ref.filter(|_| event.user.username == self.user) else { continue };
            self.requests.push(Request {
                verb: event.verb,
                resource: [Some(about.resource), about.subresource]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join("/"),
                namespace: about.namespace,
                name: about.name,
                dry_run: event.request_uri.contains("dryRun="),
                code: event.response_status.code,
                at: event.stage_timestamp,
            });
        }
    }

    /// How many seconds after `begin` each object of a resource was created, in order: of the requests that
    /// are meant.
    pub fn created(&self, resource: &str, begin: Timestamp, is_meant: impl Fn(&Request) -> bool) -> Vec<f64> {
        let mut seconds: Vec<f64> = self
            .requests
            .iter()
            .filter(|request| request.creates(resource) && is_meant(request))
            .map(|request| request.at.duration_since(begin).as_secs_f64())
            .collect();
        seconds.sort_by(f64::total_cmp);
        seconds
    }
}

/// The least time within which so many hundredths of all that were `wanted` are done; none if they never
/// were.
pub fn percentile(sorted: &[f64], wanted: usize, percent: usize) -> Option<f64> {
    sorted.get((wanted * percent).div_ceil(100).saturating_sub(1)).copied()
}
