//! What a request asks for: its path, its query, and the form of the answer that its client reads.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};

use super::kinds::{self, Kind};
use super::status::Refusal;

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Path {
    /// Objects, or one of them.
    Objects(Target),
    /// A text about the API itself, by its path.
    Document(String),
}

/// Objects of one kind.
#[derive(Debug)]
pub(super) struct Target {
    pub kind: &'static Kind,
    /// Of one namespace only; empty for a kind without.
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub part: Option<Part>,
}

/// A part of an object that is read and written by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Status,
    Scale,
    /// What a container has written, for reading only.
    Log,
    /// A port of a pod, over a WebSocket.
    PortForward,
}

/// The parameters behind the question mark.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        });
        Self(decoded.collect())
    }

    /// The value of a parameter that is given and not empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub fn is_set(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| matches!(value, "true" | "1"))
    }

    pub fn number(&self, key: &str) -> Result<Option<u64>, Refusal> {
        let read = |text: &str| {
            text.parse().map_err(|_| Refusal::bad_request(format!("{key}: {text:?} is no number")))
        };
        self.get(key).map(read).transpose()
    }

    /// Whether nothing is to be kept.
    pub fn is_dry_run(&self) -> Result<bool, Refusal> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Refusal::bad_request(format!("dryRun: {other:?} is not supported: All is"))),
        }
    }
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    /// `PartialObjectMetadata`
    Metadata,
    /// `Table`, with the metadata of the objects.
    Table,
    /// `Table`, with the whole objects.
    FullTable,
    /// `APIGroupDiscoveryList`, for the documents that list what is served.
    Discovery,
}

/// Parts of pods that a real API server has, each with what a user does here instead.
const PARTS_OF_PODS: [(&str, &str); 7] = [
    ("exec", "a pod is a process of this machine: run the command, or copy the file, in a terminal"),
    ("attach", "read what the pod writes with kubectl logs --follow"),
    ("proxy", CONNECT),
    ("eviction", "delete the pod"),
    ("binding", ""),
    ("ephemeralcontainers", ""),
    ("resize", ""),
];

/// How the ports of a pod are reached.
pub(super) const CONNECT: &str =
    "a pod is a process of this machine: connect to the address in the status of its DaskCluster";

/// What an answer can be written as.
const OFFERED: &str = "application/json";

/// The first form that the client names and that is known here.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, Refusal> {
    let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else {
        return Ok(Form::Whole);
    };
    let form = |part: &str| {
        let mut words = part.split(';').map(str::trim);
        if !matches!(words.next()?, "application/json" | "application/*" | "*/*") {
            return None;
        }
        let parameters: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
        let parameter = |key: &str| parameters.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        match (parameter("as"), parameter("v")) {
            (None, _) => Some(Form::Whole),
            (Some("Table"), Some("v1")) => Some(Form::Table),
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("v1")) => Some(Form::Metadata),
            (Some("APIGroupDiscoveryList"), Some("v2")) => Some(Form::Discovery),
            _ => None,
        }
    };
    accept.split(',').find_map(|part| form(part.trim())).ok_or_else(|| Refusal::not_acceptable(OFFERED))
}

/// What the client says that it sends, without parameters.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    given.split(';').next().unwrap_or_default().trim()
}

/// Whom a write is attributed to: the parameter, or what the client's name begins with.
pub(super) fn manager(headers: &HeaderMap, query: &Query) -> String {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let agent = agent.split('/').next().filter(|name| !name.is_empty()).unwrap_or("unknown");
    query.get("fieldManager").unwrap_or(agent).to_owned()
}

/// Reads a path.
pub(super) fn parse(path: &str) -> Result<Path, Refusal> {
    let decoded = path.split('/').filter(|word| !word.is_empty()).map(|word| decode(word, false));
    let decoded: Vec<String> = decoded.collect();
    let words: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let (group, version, rest) = match words.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Ok(Path::Document(format!("/{}", words.join("/")))),
    };
    let find = |plural: &str| kinds::find(group, version, plural).ok_or_else(Refusal::no_such_path);
    // A path in a namespace, unless it is that of a namespace or its status itself.
    let (namespace, kind, rest) = match rest {
        ["namespaces", namespace, plural, rest @ ..] if *plural != "status" => {
            (Some((*namespace).to_owned()), find(plural)?, rest)
        }
        [plural, rest @ ..] => (None, find(plural)?, rest),
        [] => return Err(Refusal::no_such_path()),
    };
    let namespace = match (kind.namespaced, namespace) {
        (true, None) if !rest.is_empty() => return Err(Refusal::no_such_path()),
        (false, Some(_)) => return Err(Refusal::no_such_path()),
        (false, None) => Some(String::new()),
        (true, namespace) => namespace,
    };
    let (name, part) = match rest {
        [] => (None, None),
        [name] => (Some((*name).to_owned()), None),
        [name, part] => (Some((*name).to_owned()), Some(part_of(kind, part)?)),
        _ => return Err(Refusal::no_such_path()),
    };
    Ok(Path::Objects(Target { kind, namespace, name, part }))
}

fn part_of(kind: &Kind, part: &str) -> Result<Part, Refusal> {
    match part {
        "status" if kind.status => Ok(Part::Status),
        "scale" if kind.scale.is_some() => Ok(Part::Scale),
        "log" if kind.is("Pod") => Ok(Part::Log),
        "portforward" if kind.is("Pod") => Ok(Part::PortForward),
        "token" if kind.is("ServiceAccount") => Err(Refusal::not_implemented("serviceaccounts/token")),
        _ => Err(match PARTS_OF_PODS.iter().find(|(known, _)| kind.is("Pod") && *known == part) {
            Some((part, instead)) => Refusal::not_done_here(&format!("pods/{part}"), instead),
            None => Refusal::no_such_path(),
        }),
    }
}

/// Takes the percent signs out of a part of a URL, and in a query the plus signs that stand for spaces.
fn decode(text: &str, in_query: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' if in_query => b' ',
            b'%' => {
                let mut ahead = rest.clone();
                let digits = [ahead.next(), ahead.next()].map(|digit| {
                    let value = char::from(digit?).to_digit(16)?;
                    u8::try_from(value).ok()
                });
                if let [Some(high), Some(low)] = digits {
                    rest = ahead;
                    high * 16 + low
                } else {
                    byte
                }
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Target {
        match parse(path).unwrap() {
            Path::Objects(target) => target,
            Path::Document(path) => panic!("{path} is a document"),
        }
    }

    #[test]
    fn paths_lead_to_objects() {
        let one = target("/apis/daskflow.dev/v1alpha1/namespaces/team/daskclusters/dask/scale");
        assert_eq!((one.kind.plural.as_str(), one.part), ("daskclusters", Some(Part::Scale)));
        assert_eq!((one.namespace.as_deref(), one.name.as_deref()), (Some("team"), Some("dask")));
        let all = target("/api/v1/pods");
        assert_eq!((all.namespace, all.name), (None, None));
        let namespace = target("/api/v1/namespaces/team");
        assert_eq!((namespace.kind.plural.as_str(), namespace.name.as_deref()), ("namespaces", Some("team")));
        assert_eq!(target("/api/v1/namespaces/team/status").part, Some(Part::Status));
        assert_eq!(target("/api/v1/namespaces/team/pods/a%2Eb").name.as_deref(), Some("a.b"));
        assert!(matches!(parse("/apis/daskflow.dev/v1alpha1").unwrap(), Path::Document(_)));
        assert!(matches!(parse("/version").unwrap(), Path::Document(path) if path == "/version"));
    }

    #[test]
    fn what_is_not_served_is_refused() {
        for (path, code) in [
            ("/apis/policy/v1/poddisruptionbudgets", 404),
            ("/api/v1/nodes", 404),
            ("/api/v1/pods/a", 404),
            ("/api/v1/namespaces/team/configmaps/a/status", 404),
            ("/apis/daskflow.dev/v1alpha1/namespaces/team/flows/a/scale", 404),
            ("/api/v1/namespaces/team/pods/a/exec", 501),
            ("/api/v1/namespaces/team/configmaps/a/log", 404),
            ("/api/v1/namespaces/team/serviceaccounts/a/token", 501),
        ] {
            assert_eq!(parse(path).unwrap_err().code, code, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db+c&watch=1&limit=x&dryRun=All&empty=");
        assert_eq!(query.get("labelSelector"), Some("a=b c"));
        assert!(query.is_set("watch") && query.is_dry_run().unwrap());
        assert_eq!((query.get("empty"), query.number("limit").unwrap_err().code), (None, 400));
        assert_eq!(decode("%zz%4", false), "%zz%4");
    }

    #[test]
    fn the_first_known_form_is_taken() {
        let of = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            form(&headers)
        };
        for (accept, expected) in [
            ("application/json", Form::Whole),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Form::Table),
            ("application/vnd.kubernetes.protobuf, */*", Form::Whole),
            ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", Form::Metadata),
            ("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", Form::Discovery),
        ] {
            assert_eq!(of(accept).unwrap(), expected, "{accept}");
        }
        assert_eq!(of("application/vnd.kubernetes.protobuf").unwrap_err().code, 406);
    }
}
