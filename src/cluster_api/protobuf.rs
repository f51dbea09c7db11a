//! Protobuf, as clients of Go send core kinds: `kubectl create configmap` and `kubectl auth can-i` know no
//! other form for what they do not read from a file.
//!
//! It is read, never written: such clients take JSON for an answer. Of each kind the fields are known that
//! these commands write (numbers and types from `generated.proto` of `k8s.io/api` and
//! `k8s.io/apimachinery`); any other that says something is refused, and the client told to send JSON.

use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

use super::status::Refusal;

/// The content type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What such a body begins with; an envelope with the kind and its bytes follows.
const MAGIC: &[u8] = b"k8s\0";

/// The form of a field. A plain number or flag that Go cannot leave out is not given where it is zero.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Whole,
    PlainWhole,
    Flag,
    PlainFlag,
    Instant,
    IntOrString,
    Texts,
    MapOfTexts,
    MapOfBytes,
    Message(Table),
    Messages(Table),
}

/// The fields of a message: number, name, form.
type Table = &'static [(u64, &'static str, Form)];

use Form::{
    Flag, Instant, IntOrString, MapOfBytes, MapOfTexts, Message, Messages, PlainFlag, PlainWhole, Text,
    Texts, Whole,
};

const TYPE_META: Table = &[(1, "apiVersion", Text), (2, "kind", Text)];

const METADATA: Table = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (7, "generation", PlainWhole),
    (8, "creationTimestamp", Instant),
    (11, "labels", MapOfTexts),
    (12, "annotations", MapOfTexts),
    (14, "finalizers", Texts),
];
const NAMED: Table = &[(1, "name", Text)];

const CONFIG_MAP: Table = &[
    (1, "metadata", Message(METADATA)),
    (2, "data", MapOfTexts),
    (3, "binaryData", MapOfBytes),
    (4, "immutable", Flag),
];
const SECRET: Table = &[
    (1, "metadata", Message(METADATA)),
    (2, "data", MapOfBytes),
    (3, "type", Text),
    (4, "stringData", MapOfTexts),
    (5, "immutable", Flag),
];
const NAMESPACE: Table = &[
    (1, "metadata", Message(METADATA)),
    (2, "spec", Message(&[(1, "finalizers", Texts)])),
    (3, "status", Message(&[(1, "phase", Text)])),
];
const SERVICE_ACCOUNT: Table = &[
    (1, "metadata", Message(METADATA)),
    (3, "imagePullSecrets", Messages(NAMED)),
    (4, "automountServiceAccountToken", Flag),
];

const SERVICE_PORT: Table = &[
    (1, "name", Text),
    (2, "protocol", Text),
    (3, "port", PlainWhole),
    (4, "targetPort", IntOrString),
    (5, "nodePort", PlainWhole),
];
const SERVICE_SPEC: Table = &[
    (1, "ports", Messages(SERVICE_PORT)),
    (2, "selector", MapOfTexts),
    (3, "clusterIP", Text),
    (4, "type", Text),
    (7, "sessionAffinity", Text),
    (8, "loadBalancerIP", Text),
    (10, "externalName", Text),
    (11, "externalTrafficPolicy", Text),
    (12, "healthCheckNodePort", PlainWhole),
    (13, "publishNotReadyAddresses", PlainFlag),
];
const SERVICE: Table = &[
    (1, "metadata", Message(METADATA)),
    (2, "spec", Message(SERVICE_SPEC)),
    (3, "status", Message(&[(1, "loadBalancer", Message(&[]))])),
];

const CONTAINER: Table = &[
    (1, "name", Text),
    (2, "image", Text),
    (3, "command", Texts),
    (4, "args", Texts),
    (5, "workingDir", Text),
    (7, "env", Messages(&[(1, "name", Text), (2, "value", Text)])),
    (8, "resources", Message(&[])),
    (13, "terminationMessagePath", Text),
    (14, "imagePullPolicy", Text),
    (16, "stdin", PlainFlag),
    (17, "stdinOnce", PlainFlag),
    (18, "tty", PlainFlag),
    (20, "terminationMessagePolicy", Text),
];
const POD_SPEC: Table = &[
    (2, "containers", Messages(CONTAINER)),
    (3, "restartPolicy", Text),
    (4, "terminationGracePeriodSeconds", Whole),
    (5, "activeDeadlineSeconds", Whole),
    (6, "dnsPolicy", Text),
    (7, "nodeSelector", MapOfTexts),
    (8, "serviceAccountName", Text),
    (9, "serviceAccount", Text),
    (10, "nodeName", Text),
    (11, "hostNetwork", PlainFlag),
    (12, "hostPID", PlainFlag),
    (13, "hostIPC", PlainFlag),
    (15, "imagePullSecrets", Messages(NAMED)),
    (16, "hostname", Text),
    (17, "subdomain", Text),
    (19, "schedulerName", Text),
    (24, "priorityClassName", Text),
];
const JOB_SPEC: Table = &[
    (1, "parallelism", Whole),
    (2, "completions", Whole),
    (3, "activeDeadlineSeconds", Whole),
    (5, "manualSelector", Flag),
    (6, "template", Message(&[(1, "metadata", Message(METADATA)), (2, "spec", Message(POD_SPEC))])),
    (7, "backoffLimit", Whole),
    (8, "ttlSecondsAfterFinished", Whole),
    (9, "completionMode", Text),
    (10, "suspend", Flag),
];
const JOB: Table =
    &[(1, "metadata", Message(METADATA)), (2, "spec", Message(JOB_SPEC)), (3, "status", Message(&[]))];

const REVIEWED: Table = &[
    (1, "namespace", Text),
    (2, "verb", Text),
    (3, "group", Text),
    (4, "version", Text),
    (5, "resource", Text),
    (6, "subresource", Text),
    (7, "name", Text),
];
const ACCESS_SPEC: Table = &[
    (1, "resourceAttributes", Message(REVIEWED)),
    (2, "nonResourceAttributes", Message(&[(1, "path", Text), (2, "verb", Text)])),
];
const ACCESS_REVIEW: Table =
    &[(1, "metadata", Message(METADATA)), (2, "spec", Message(ACCESS_SPEC)), (3, "status", Message(&[]))];
const RULES_REVIEW: Table = &[
    (1, "metadata", Message(METADATA)),
    (2, "spec", Message(&[(1, "namespace", Text)])),
    (3, "status", Message(&[])),
];

const DELETE_OPTIONS: Table = &[
    (1, "gracePeriodSeconds", Whole),
    (2, "preconditions", Message(&[(1, "uid", Text), (2, "resourceVersion", Text)])),
    (3, "orphanDependents", Flag),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Texts),
];

fn table(version: &str, kind: &str) -> Option<Table> {
    Some(match (version, kind) {
        ("v1", "ConfigMap") => CONFIG_MAP,
        ("v1", "Secret") => SECRET,
        ("v1", "Namespace") => NAMESPACE,
        ("v1", "ServiceAccount") => SERVICE_ACCOUNT,
        ("v1", "Service") => SERVICE,
        ("batch/v1", "Job") => JOB,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => ACCESS_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => RULES_REVIEW,
        (_, "DeleteOptions") => DELETE_OPTIONS,
        _ => return None,
    })
}

/// Reads the body of a request.
pub(super) fn read(body: &[u8]) -> Result<Value, Refusal> {
    let broken = || Refusal::bad_request("the body of the request is no protobuf of Kubernetes");
    let envelope = body.strip_prefix(MAGIC).ok_or_else(broken)?;
    let (mut meta, mut raw) = (Map::new(), &[][..]);
    for field in fields(envelope)? {
        match field {
            (1, Wire::Bytes(bytes)) => meta = message(bytes, TYPE_META, "typeMeta")?,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            // The encodings of the content, which are the usual ones.
            _ => {}
        }
    }
    let text = |name: &str| meta.get(name).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let table = table(version, kind).ok_or_else(|| not_read(kind))?;
    let mut object = message(raw, table, kind)?;
    object.extend(meta);
    Ok(Value::Object(object))
}

fn not_read(what: &str) -> Refusal {
    Refusal::unsupported_media(&format!(
        "application/json, application/yaml (protobuf is read here as far as `kubectl create` needs it, and {what} is \
         not: write the object to a file, and apply that)"
    ))
}

/// What a field has on the wire.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Whole(u64),
    Bytes(&'a [u8]),
}

impl Wire<'_> {
    /// Whether it says nothing.
    fn is_empty(self) -> bool {
        match self {
            Self::Whole(number) => number == 0,
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }
}

/// The fields of a message, with their numbers.
fn fields(mut rest: &[u8]) -> Result<Vec<(u64, Wire<'_>)>, Refusal> {
    let ends = || Refusal::bad_request("the protobuf of the request ends early");
    let mut found = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest).ok_or_else(ends)?;
        let value = match tag & 7 {
            0 => Wire::Whole(varint(&mut rest).ok_or_else(ends)?),
            2 => {
                let length = varint(&mut rest).and_then(|length| usize::try_from(length).ok());
                let (bytes, behind) = length.and_then(|at| rest.split_at_checked(at)).ok_or_else(ends)?;
                rest = behind;
                Wire::Bytes(bytes)
            }
            other => return Err(Refusal::bad_request(format!("protobuf with a field of the form {other}"))),
        };
        found.push((tag >> 3, value));
    }
    Ok(found)
}

/// A number in groups of seven bits, the lowest first.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn message(bytes: &[u8], table: Table, path: &str) -> Result<Map<String, Value>, Refusal> {
    let mut object = Map::new();
    for (number, wire) in fields(bytes)? {
        let Some((_, name, form)) = table.iter().find(|(known, ..)| *known == number) else {
            if wire.is_empty() {
                continue;
            }
            // Nothing of a status is taken at a creation.
            if path.ends_with(".status") {
                continue;
            }
            return Err(not_read(&format!("field {number} of {path}")));
        };
        let path = format!("{path}.{name}");
        put(&mut object, (name, *form), wire, &path)?;
    }
    Ok(object)
}

fn put(
    object: &mut Map<String, Value>,
    (name, form): (&str, Form),
    wire: Wire<'_>,
    path: &str,
) -> Result<(), Refusal> {
    let list = |object: &mut Map<String, Value>, item: Value| {
        if let Value::Array(items) = object.entry(name.to_owned()).or_insert_with(|| json!([])) {
            items.push(item);
        }
    };
    let mut set = |value: Value| drop(object.insert(name.to_owned(), value));
    match (form, wire) {
        (Text | Instant | PlainWhole | PlainFlag, wire) if wire.is_empty() => {}
        (Text, Wire::Bytes(bytes)) => set(json!(text(bytes)?)),
        (Whole | PlainWhole, Wire::Whole(number)) => set(json!(number.cast_signed())),
        (Flag | PlainFlag, Wire::Whole(number)) => set(json!(number != 0)),
        (IntOrString, Wire::Bytes(bytes)) => set(int_or_string(bytes)?),
        (Message(table), Wire::Bytes(bytes)) => set(Value::Object(message(bytes, table, path)?)),
        (Messages(table), Wire::Bytes(bytes)) => list(object, Value::Object(message(bytes, table, path)?)),
        (Texts, Wire::Bytes(bytes)) => list(object, json!(text(bytes)?)),
        (MapOfTexts | MapOfBytes, Wire::Bytes(bytes)) => {
            let (mut key, mut value) = (String::new(), &[][..]);
            for field in fields(bytes)? {
                match field {
                    (1, Wire::Bytes(bytes)) => key = text(bytes)?,
                    (2, Wire::Bytes(bytes)) => value = bytes,
                    _ => return Err(not_read(path)),
                }
            }
            let value = match form {
                MapOfBytes => json!(ByteString(value.to_vec())),
                _ => json!(text(value)?),
            };
            if let Value::Object(map) = object.entry(name.to_owned()).or_insert_with(|| json!({})) {
                map.insert(key, value);
            }
        }
        _ => return Err(not_read(path)),
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<String, Refusal> {
    let read = std::str::from_utf8(bytes).map(str::to_owned);
    read.map_err(|_| Refusal::bad_request("a text in the protobuf of the request is no UTF-8"))
}

/// A number, or a text if the first field says so.
fn int_or_string(bytes: &[u8]) -> Result<Value, Refusal> {
    let (mut is_text, mut number, mut word) = (false, 0, String::new());
    for field in fields(bytes)? {
        match field {
            (1, Wire::Whole(form)) => is_text = form == 1,
            (2, Wire::Whole(whole)) => number = whole.cast_signed(),
            (3, Wire::Bytes(bytes)) => word = text(bytes)?,
            _ => {}
        }
    }
    Ok(if is_text { json!(word) } else { json!(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes. Short ones only.
    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut all = vec![(number << 3) | 2, u8::try_from(content.len()).unwrap()];
        all.extend(content);
        all
    }

    fn sent(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [bytes(1, version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), bytes(1, &meta), bytes(2, raw), bytes(3, b""), bytes(4, b"")].concat()
    }

    #[test]
    fn a_secret_is_read_without_what_go_cannot_leave_out() {
        let metadata =
            [bytes(1, b"keys"), bytes(2, b""), bytes(4, b""), vec![7 << 3, 0], bytes(8, b"")].concat();
        let entry = [bytes(1, b"a"), bytes(2, b"b")].concat();
        let raw = [bytes(1, &metadata), bytes(2, &entry), bytes(3, b"Opaque"), vec![5 << 3, 0]].concat();
        assert_eq!(
            read(&sent("v1", "Secret", &raw)).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "type": "Opaque",
                "data": {"a": "Yg=="}, "immutable": false,
            })
        );
    }

    #[test]
    fn ports_and_numbers_are_read() {
        let target = [vec![1 << 3, 0], vec![2 << 3, 0x90, 0x3f], bytes(3, b"")].concat();
        let port = [bytes(1, b"web"), vec![3 << 3, 80], bytes(4, &target)].concat();
        let raw = bytes(2, &bytes(1, &port));
        let service = read(&sent("v1", "Service", &raw)).unwrap();
        assert_eq!(service["spec"]["ports"], json!([{"name": "web", "port": 80, "targetPort": 8080}]));
    }

    #[test]
    fn what_is_not_known_is_refused_and_what_is_broken_as_well() {
        let volumes = bytes(2, &bytes(6, &bytes(2, &bytes(1, b"x"))));
        let refused = read(&sent("batch/v1", "Job", &volumes)).unwrap_err();
        assert_eq!(refused.code, 415);
        assert!(refused.message.contains("field 1 of Job.spec.template.spec"), "{}", refused.message);
        assert_eq!(read(&sent("v1", "Pod", b"")).unwrap_err().code, 415);
        for broken in
            [&b"{}"[..], b"k8s\0\x0a\x05", b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"k8s\0\x09"]
        {
            assert_eq!(read(broken).unwrap_err().code, 400, "{broken:?}");
        }
    }
}
