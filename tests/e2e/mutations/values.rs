//! Values of a leaf: other good ones, border ones and odd ones, from its schema and from what its name means.

use serde_json::{Value, json};

use super::schema::rules;

/// What a value is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// One that a user may well write.
    Good,
    /// The least, the most, or one that takes effect nowhere.
    Border,
    /// One that the API server may refuse, and the operator must bear.
    Odd,
}

use Class::{Border, Good, Odd};

/// The values of a leaf, the best one first. `leaf` is its path, such as `spec.env[].name`.
pub fn values(leaf: &str, schema: &Value) -> Vec<(Class, Value)> {
    if let Some(words) = schema["enum"].as_array() {
        let mut all: Vec<_> = words.iter().map(|word| (Good, word.clone())).collect();
        all.push((Odd, json!("Nonsense")));
        return all;
    }
    match schema["type"].as_str() {
        Some("boolean") => vec![(Good, json!(true)), (Good, json!(false)), (Odd, json!("true"))],
        Some("integer") => integers(schema),
        Some("number") => {
            vec![
                (Good, json!(1.5)),
                (Border, json!(0)),
                (Border, json!(1e300)),
                (Odd, json!(-1)),
                (Odd, json!("1")),
            ]
        }
        Some("string") => texts(leaf, schema),
        _ => quantities(name(leaf)),
    }
}

/// The last name of a path.
fn name(leaf: &str) -> &str {
    leaf.rsplit('.').next().unwrap_or(leaf).trim_end_matches(['[', ']', '{', '}'])
}

fn integers(schema: &Value) -> Vec<(Class, Value)> {
    let bound = |name: &str| schema[name].as_f64().map(|bound| format!("{bound}").parse::<i64>().unwrap());
    let (least, most) = (bound("minimum"), bound("maximum"));
    let default = schema["default"].as_i64().or(least).unwrap_or(0);
    let good = most.map_or(default + 1, |most| most.min(default + 1));
    let mut all = vec![(Good, json!(good))];
    all.extend([least, most].into_iter().flatten().map(|border| (Border, json!(border))));
    all.extend(least.map(|least| (Odd, json!(least - 1))));
    all.extend(most.map(|most| (Odd, json!(most + 1))));
    all.push((Odd, json!(good.to_string())));
    all
}

/// What Kubernetes takes for a quantity.
fn quantities(name: &str) -> Vec<(Class, Value)> {
    let good = match name {
        "divisor" => "1m",
        "size" => "2Gi",
        _ => "700m",
    };
    let odd = ["-1", "lots", "1 Gi", ""].map(|odd| (Odd, json!(odd)));
    let mut all = vec![(Good, json!(good)), (Good, json!(1)), (Border, json!("0")), (Border, json!("9E"))];
    all.extend(odd);
    all
}

fn texts(leaf: &str, schema: &Value) -> Vec<(Class, Value)> {
    let (good, border, odd) = if schema["format"] == json!("date-time") {
        instants()
    } else {
        by_rule(&rules(schema)).unwrap_or_else(|| by_name(leaf))
    };
    let of = |class: Class, texts: &[&str]| texts.iter().map(|text| (class, json!(text))).collect::<Vec<_>>();
    let mut all = of(Good, good);
    all.extend(of(Border, border));
    // The longest one that the schema takes; of a script it would be half a megabyte.
    let longest = schema["maxLength"].as_u64().filter(|most| *most <= 4096);
    all.extend(longest.map(|most| (Border, json!("x".repeat(usize::try_from(most).unwrap())))));
    all.extend(of(Odd, odd));
    all.extend(of(Odd, &[""]));
    all.extend(longest.map(|most| (Odd, json!("x".repeat(usize::try_from(most + 1).unwrap())))));
    all.push((Odd, json!(7)));
    all
}

/// Good, border and odd ones.
type Texts = (&'static [&'static str], &'static [&'static str], &'static [&'static str]);

fn instants() -> Texts {
    (
        &["2091-02-03T04:05:06Z", "2092-12-31T23:59:59+05:30"],
        &["0001-01-01T00:00:00Z", "9999-12-29T23:59:59Z", "1969-12-31T23:59:59.999999999Z"],
        &["9999-12-31T00:00:00Z", "2091-02-30T00:00:00Z", "2091-02-03", "tomorrow"],
    )
}

/// By the patterns that its rules have.
fn by_rule(rules: &str) -> Option<Texts> {
    let table: [(&str, Texts); 11] = [
        // The first pattern that is found counts.
        (
            "(d|w|mo|y)",
            (
                &["2y", "40000h"],
                &["999999w", "2562047h47m16s", "9999y"],
                &["9999999999h", "9999999999999999999y", "0d", "1d12h", "2 y"],
            ),
        ),
        (
            "+d)?",
            (&["30d", "30d12h"], &["1s", "106751991d"], &["9999999999999999999d", "0d", "12h30d", "a week"]),
        ),
        (
            "(h|m|s)",
            (
                &["12h", "12h30m15s"],
                &["1s", "100h100h", "2562047788015215h"],
                &["9999999999999999999h", "0s", "1d", "1.5h", "-1h", "soon"],
            ),
        ),
        ("[0-5][0-9]$", (&["07:30"], &["00:00", "23:59"], &["24:00", "7:30", "noon"])),
        ("(0[1-9]|1[0-2])-", (&["03-31"], &["02-29", "12-31"], &["02-30", "13-01", "3-1"])),
        ("[kMGT]", (&["2GiB", "1.5G"], &["0", "1", "9999999TiB"], &["lots", "-1GiB", "1e3"])),
        (
            "FREQ=",
            (
                &["FREQ=YEARLY;INTERVAL=2", "DTSTART=20910101T000000Z;FREQ=YEARLY;BYDAY=2MO;COUNT=3"],
                &["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "freq=yearly;until=19700101T000000Z"],
                &["FREQ=YEARLY;COUNT=0", "FREQ=YEARLY;BYDAY=XX", "FREQ=SECONDLY", "every year"],
            ),
        ),
        (
            "startsWith('@')",
            (
                &["30 4 29 2 *", "@yearly"],
                &["0 0 30 2 *", "0 0 29 2 */7", "0 0 1 1 7"],
                &["99 0 1 1 *", "@often", "0 0 1 1", "0 0 0 1 1 *", "a b c d e"],
            ),
        ),
        (
            "(tcp|tls)",
            (
                &["tcp://elsewhere.example:8786", "tls://elsewhere.example:8786"],
                &["tcp://[::1]:0", "tcp://x:99999999"],
                &["http://elsewhere.example:8786", "elsewhere.example", "gateway://elsewhere.example:8786"],
            ),
        ),
        ("[-a-z0-9]*", (&["other", "another-1"], &["0"], &["UPPER", "-x-", "a.b", "default"])),
        ("self >= timestamp", instants()),
    ];
    table.into_iter().find(|(pattern, _)| rules.contains(pattern)).map(|(_, texts)| texts)
}

/// By what fields of this name are for.
fn by_name(leaf: &str) -> Texts {
    match name(leaf) {
        "image" => (
            &[
                "registry.example/other:2",
                "registry.example:5000/a/b@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            ],
            &["x"],
            &["NOT an image!", "registry.example/other:", "ünïcode"],
        ),
        "timeZone" => (
            &["America/New_York", "Pacific/Apia"],
            &["UTC", "Etc/GMT+12", "europe/paris"],
            &["Mars/Olympus", "+02:00", "Europe/Paris "],
        ),
        "topologyKey" => {
            (&["kubernetes.io/hostname", "topology.kubernetes.io/zone"], &["x"], &["not a label!", "a/b/c"])
        }
        "fieldPath" => {
            (&["metadata.name", "status.podIP"], &["metadata.labels['x']"], &["metadata.nonsense"])
        }
        "resource" => (&["limits.cpu", "requests.memory"], &[], &["limits.nonsense"]),
        "loadBalancerSourceRanges" => {
            (&["10.0.0.0/8", "fd00::/8"], &["0.0.0.0/0"], &["10.0.0.300/8", "10.0.0.1", "all"])
        }
        "loadBalancerClass" => (&["example.com/other"], &["x"], &["not a class!"]),
        "priorityClassName" => (&["system-cluster-critical"], &["gone"], &["Not A Name"]),
        "python" => (&["python3", "/opt/venv/bin/python"], &["python"], &["rm -rf /; python", "py\nthon"]),
        "path" => (&["/flows/other.py"], &["flow.py", "/"], &["../../$HOME/a b.py", "/flows/\u{0}.py"]),
        "inline" => (&["print(2)\n"], &["\n", "x"], &["print(\"\u{0}\")", "ünïcode = '∅'\n\t$HOME"]),
        "args" => (&["--verbose", "a value"], &["$(HOME)"], &["--port=1", "--host", "ünïcode \" ' \\ \n $"]),
        "command" => (&["python", "a value"], &["$(HOME)"], &["ünïcode \" ' \\ \n $"]),
        "value" | "annotations" => (&["another", "$(HOME)"], &["\n"], &["ünïcode \" ' \\ $ \u{0}"]),
        "prefix" => (&["OTHER_"], &["_"], &["not a prefix=", "1"]),
        "name" if leaf.ends_with("env[].name") => {
            (&["OTHER", "other.name-1"], &["_", "PATH"], &["not a name=", "1A", "DASK_WORKER_NAME", "ü"])
        }
        "key" => (&["other.py", "key"], &["."], &["not/a/key", ".."]),
        "kind" => (&["ClusterIssuer"], &["x"], &["Not A Kind"]),
        "group" => (&["cert-manager.io", "issuers.example"], &["x"], &["Not A Group"]),
        // Names of objects: one that is there, one that is not.
        _ => (&["there", "gone"], &["x"], &["Not A Name", "a/b", "-", "ünïcode"]),
    }
}

/// Contents of a field that takes anything.
pub fn opaque(leaf: &str) -> Vec<(Class, Value)> {
    if leaf.ends_with("arameters") {
        return vec![
            (Good, json!({"x": 43, "deep": {"list": [1, 2.5, null, "a"]}})),
            (Border, json!({})),
            (Border, json!({"": ""})),
            (Border, json!({"long": "x".repeat(60_000)})),
            (Odd, json!({"ünïcode \" ' \\ $ \n": "$(HOME) \u{0}"})),
            (Odd, json!({"long": "x".repeat(140_000)})),
            (Odd, json!([1])),
            (Odd, json!("x")),
        ];
    }
    let metadata = json!({"metadata": {"labels": {"team": "b"}, "annotations": {"example.com/note": "b"}}});
    let volume = json!({"spec": {"volumes": [{"name": "scratch", "emptyDir": {}}], "terminationGracePeriodSeconds": 7}});
    vec![
        (Good, metadata),
        (Good, volume),
        (Border, json!({})),
        (Border, json!({"spec": {"containers": []}})),
        (Border, json!({"spec": {"containers": [{"name": "beside", "image": "registry.example/beside:1"}]}})),
        (
            Border,
            json!({"metadata": {"labels": {"dask.org/component": "mine", "app.kubernetes.io/name": "mine"}}}),
        ),
        (Odd, json!({"spec": {"nosuch": 1}})),
        (Odd, json!({"spec": {"hostNetwork": "yes"}})),
        (Odd, json!({"spec": {"priorityClassName": "gone"}})),
        (Odd, json!({"spec": {"containers": [{"image": "nameless"}]}})),
        (Odd, json!({"spec": {"containers": "none"}})),
        (Odd, json!({"metadata": {"labels": {"not a label!": "not a value!"}}})),
        (Odd, json!("x")),
    ]
}

/// A key for a map of this path.
pub fn key(leaf: &str) -> &'static str {
    match name(leaf) {
        "limits" | "requests" => "cpu",
        "daskResources" => "GPU",
        _ => "example.com/other",
    }
}
