use serde_json::json;

use super::*;

#[test]
fn credentials_in_texts_are_taken_out() {
    let redactor = Redactor::new().unwrap();
    for (text, rest) in [
        ("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer REDACTED"),
        ("postgres://me:hunter2@db/x?a=1", "postgres://REDACTED@db/x?a=1"),
        ("password=hunter2 next", "password=REDACTED next"),
        ("DB_PASSWORD: hunter2, ok", "DB_PASSWORD: REDACTED, ok"),
        ("{\"api_key\": \"hunter 2\", \"a\": 1}", "{\"api_key\": REDACTED, \"a\": 1}"),
        ("connect(token='hunter 2')", "connect(token=REDACTED)"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM.c2lnbmF0dXJl!", "REDACTED!"),
        ("ghp_0123456789abcdefABCD", "REDACTED"),
        ("AKIA0123456789ABCDEF", "REDACTED"),
        ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n", "a\nREDACTED"),
        ("MIIEpAIBAAKCAQEA\nabc=\n-----END RSA PRIVATE KEY-----\nready", "REDACTED\nready"),
        (
            "a\n-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n-----END PGP PRIVATE KEY BLOCK-----\nb",
            "a\nREDACTED\nb",
        ),
        ("https://hunter2@git.example/x.git", "https://REDACTED@git.example/x.git"),
        ("postgres://me:ab/cd@db/x", "postgres://REDACTED@db/x"),
        ("mongodb://me:p@ss@db/x", "mongodb://REDACTED@db/x"),
        ("(\"http://a:1/x\", \"me@example.org\")", "(\"http://a:1/x\", \"me@example.org\")"),
        (
            "AccountName=a;AccountKey=AbC/d+e==;EndpointSuffix=x",
            "AccountName=a;AccountKey=REDACTED;EndpointSuffix=x",
        ),
        ("Server=db;Uid=me;Pwd=hunter2;", "Server=db;Uid=me;Pwd=REDACTED;"),
        (
            "https://s3/x?X-Amz-Date=1&X-Amz-Signature=0a1b&y=1",
            "https://s3/x?X-Amz-Date=1&X-Amz-Signature=REDACTED&y=1",
        ),
        ("https://b/c?se=2026&sig=a%2Bb", "https://b/c?se=2026&sig=REDACTED"),
        ("the Secret team/x has no tls.key", "the Secret team/x has no tls.key"),
        ("3 of 7 parts at http://a:8787/status", "3 of 7 parts at http://a:8787/status"),
    ] {
        assert_eq!(redactor.text(text), rest);
    }
}

#[test]
fn what_is_secret_in_an_object_is_taken_out_there_and_elsewhere() {
    let mut redactor = Redactor::new().unwrap();
    let mut flow = json!({
        "kind": "Flow",
        "metadata": {"name": "etl", "annotations": {APPLIED: "all of it", "note": "a"}, "managedFields": [1]},
        "spec": {
            "env": [{"name": "REGION", "value": "north-1"}, {"name": "X", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
            "parameters": {"days": 7, "db": {"password": "hunter2"}, "api_tokens": ["tok-12345"]},
            "args": ["--fast", "--db-password", "hunter3", "last"],
            "code": {"inline": "print('hi')"},
            "template": {"spec": {"containers": [{"env": [{"name": "A", "value": "deep-value"}]}]}},
        },
    });
    redactor.object(&mut flow);
    let wanted = json!({
        "kind": "Flow",
        "metadata": {"name": "etl", "annotations": {"note": "a"}},
        "spec": {
            "env": [{"name": "REGION", "value": REDACTED}, {"name": "X", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
            "parameters": {"days": 7, "db": {"password": REDACTED}, "api_tokens": REDACTED},
            "args": ["--fast", "--db-password", REDACTED, "last"],
            "code": {"inline": "REDACTED: a script of 11 characters"},
            "template": {"spec": {"containers": [{"env": [{"name": "A", "value": REDACTED}]}]}},
        },
    });
    assert_eq!(flow, wanted);
    let log = "in north-1 as hunter2, hunter3 and deep-value";
    assert_eq!(redactor.text(log), "in REDACTED as REDACTED, REDACTED and REDACTED");
    // What daskflow itself gives to a pod is no secret elsewhere.
    let mut pod = json!({"kind": "Pod", "spec": {"env": [
        {"name": "DASKFLOW_FLOW", "value": "nightly-report"}, {"name": "DB_PASSWORD", "value": "hunter4"},
        {"name": "DB", "value": "of-a-mutating-webhook"},
    ]}});
    redactor.object(&mut pod);
    assert_eq!(
        redactor.text("nightly-report hunter4 of-a-mutating-webhook"),
        "nightly-report REDACTED REDACTED"
    );
}

#[test]
fn secrets_are_found_in_lists_and_wherever_a_name_says_so() {
    let mut redactor = Redactor::new().unwrap();
    let mut object = json!({
        "kind": "Flow",
        "spec": {
            "parameters": {
                "databases": [{"name": "a", "password": "hunter2"}, [{"token": "hunter3"}]],
                "tokens": {"of": ["hunter4", {"pin": 1_234_567, "is": true}]},
                "settings": [{"name": "api-key", "value": "hunter5"}, {"name": "days", "value": 7}],
                "args": ["--token", "hunter6", "fast"],
            },
            "tls": {"secretName": "tls-of-all"},
            "template": {"spec": {
                "automountServiceAccountToken": false,
                "imagePullSecrets": [{"name": "registry"}],
                "volumes": [
                    {"csi": {"volumeAttributes": {"password": "hunter7", "share": "data"}}},
                    {"flexVolume": {"options": {"accessToken": "hunter8"}}},
                    {"secret": {"secretName": "db-login"}},
                ],
            }},
        },
    });
    redactor.object(&mut object);
    let wanted = json!({
        "kind": "Flow",
        "spec": {
            "parameters": {
                "databases": [{"name": "a", "password": REDACTED}, [{"token": REDACTED}]],
                "tokens": REDACTED,
                "settings": [{"name": "api-key", "value": REDACTED}, {"name": "days", "value": 7}],
                "args": ["--token", REDACTED, "fast"],
            },
            "tls": {"secretName": "tls-of-all"},
            "template": {"spec": {
                "automountServiceAccountToken": false,
                "imagePullSecrets": [{"name": "registry"}],
                "volumes": [
                    {"csi": {"volumeAttributes": {"password": REDACTED, "share": "data"}}},
                    {"flexVolume": {"options": {"accessToken": REDACTED}}},
                    {"secret": {"secretName": "db-login"}},
                ],
            }},
        },
    });
    assert_eq!(object, wanted);
    for secret in ["hunter2", "hunter3", "hunter4", "1234567", "hunter5", "hunter6", "hunter7", "hunter8"] {
        assert_eq!(redactor.text(&format!("as {secret}!")), "as REDACTED!");
    }
    assert_eq!(redactor.text("db-login, tls-of-all: true"), "db-login, tls-of-all: true");
    redactor.object(&mut json!({"spec": {"parameters": {"password": "a\"b\\cdef"}}}));
    assert_eq!(redactor.text(r#"{"x": "a\"b\\cdef"}"#), r#"{"x": "REDACTED"}"#);
}
