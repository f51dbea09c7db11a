//! `daskflow validate`, the built program: what it finds, on which line, and how it ends.

use std::path::{Path, PathBuf};

use super::cases::{self, Refusal};
use super::program::{Ran, daskflow, folder};
use serde_json::Value;

const FLOW: &str = "apiVersion: daskflow.dev/v1alpha1\nkind: Flow\nmetadata: {name: report}\n";
const GOOD: &str = "spec: {cluster: {ref: {name: analytics}}}\n";

fn case_file(folder: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api").join(folder).join(format!("{name}.yaml"))
}

/// Checks a text that comes on standard input.
fn check(text: &str) -> Ran {
    daskflow(Path::new("/"), &["validate", "-f", "-"], text)
}

/// The lines about a text, without the name of the file.
fn told(text: &str) -> Vec<String> {
    let ran = check(text);
    let lines = ran.out.lines().filter_map(|line| line.strip_prefix("STDIN:")).map(str::to_owned);
    let told: Vec<String> = lines.collect();
    assert_eq!(ran.code, i32::from(!told.is_empty()), "{ran:?}");
    told
}

#[test]
fn good_objects_are_good() {
    for case in cases::good() {
        let file = case_file("good", &case.name);
        let ran = daskflow(Path::new("/"), &["validate", "-f", file.to_str().unwrap()], "");
        let objects = 1 + usize::from(case.before.is_some());
        let expected = format!("{objects} object{} checked", if objects == 1 { "" } else { "s" });
        // What has ended by now was good in its time.
        let mut lines = ran.lines();
        lines.retain(|line| !line.contains("it ticks no more"));
        let summary = lines.first().and_then(|line| line.split(", ").next());
        assert!(lines.len() == 1 && !lines[0].contains(" fault"), "{}: {ran:?}", case.name);
        assert_eq!((ran.code, summary, ran.err.as_str()), (0, Some(expected.as_str()), ""), "{}", case.name);
    }
}

#[test]
fn bad_objects_are_told_as_their_header_says() {
    // What changes from one object to the next cannot be seen in either.
    let cases: Vec<_> = cases::bad().into_iter().filter(|case| case.before.is_none()).collect();
    let files: Vec<PathBuf> = cases.iter().map(|case| case_file("bad", &case.name)).collect();
    let mut arguments = vec!["validate", "-o", "json", "-f"];
    arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
    // All in one go: there are many, and each start of the program compiles all rules.
    let ran = daskflow(Path::new("/"), &arguments, "");
    assert_eq!(ran.code, 1, "{ran:?}");
    let told: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    for (case, file) in cases.into_iter().zip(&files) {
        let Refusal { field, message, .. } = case.refusal.unwrap();
        let faults: Vec<&Value> =
            told.iter().filter(|fault| fault["file"] == file.to_str().unwrap()).collect();
        let fault = faults.iter().find(|fault| {
            let same_field = field.is_empty() || fault["field"] == field.as_str();
            same_field && fault["message"].as_str().unwrap().starts_with(&message)
        });
        let fault = fault.unwrap_or_else(|| panic!("{}: {field}: {message} is not in {faults:?}", case.name));
        let text = std::fs::read_to_string(file).unwrap();
        let line = usize::try_from(fault["line"].as_u64().unwrap()).unwrap();
        let field = fault["field"].as_str().unwrap();
        // What is missing is told where it should be.
        let place =
            if message == "Required value" { field.rsplit_once('.').unwrap_or_default().0 } else { field };
        assert_eq!(line, expected_line(&text, place), "{}: {fault}", case.name);
    }
}

/// The line of a field, found in the text as a reader finds it: further down and to the right at each step of
/// the path, as far as it goes.
fn expected_line(text: &str, field: &str) -> usize {
    let start = text.lines().position(|line| !line.starts_with('#')).unwrap();
    let at = |found: usize| text[..found].matches('\n').count() + 1;
    let mut place = text.match_indices('\n').nth(start.wrapping_sub(1)).map_or(0, |(at, _)| at + 1);
    let mut line = start + 1;
    for step in field.split('.') {
        let (name, index) = step.split_once('[').unwrap_or((step, ""));
        let Some(found) = text[place..].find(&format!("{name}:")) else { break };
        place += found + name.len() + 1;
        line = at(place);
        if let Ok(index) = index.trim_end_matches(']').parse::<usize>() {
            // Items are objects in braces, or plain values beside the name of their list.
            let plain =
                text[place..].trim_start().strip_prefix('[').is_some_and(|item| !item.starts_with('{'));
            let brace = text[place..].match_indices('{').nth(index).filter(|_| !plain);
            let Some((brace, _)) = brace else { break };
            place += brace + 1;
            line = at(place);
        }
    }
    line
}

#[test]
fn a_change_that_no_single_object_shows_is_passed_over() {
    let file = case_file("bad", "flowrun-flow-changed");
    let ran = daskflow(Path::new("/"), &["validate", "-f", file.to_str().unwrap()], "");
    assert_eq!((ran.code, ran.out.as_str()), (0, "2 objects checked\n"));
}

#[test]
fn all_faults_of_an_object_are_told_and_not_only_the_first() {
    let text = format!(
        "{FLOW}spec:
  imge: flows:1
  cluster:
    template:
      workers:
        replicas: many
        args: [--name, x]
        resources: {{limits: {{memory: 4GB}}}}
        template:
          spec:
            nodeSelecter: {{}}
            containers:
              - name: worker
                imge: x
  schedule:
    timeZone: Europe/Pari
    clocks:
      - name: nightly
        cron: 0 0 2 * * *
      - {{name: hourly, interval: 1.5h}}
  template: {{spec: {{containers: none}}}}
"
    );
    let expected = [
        "5: spec.imge: unknown field \"spec.imge\"; did you mean image?",
        "7: spec.cluster.template.image: Required value",
        "9: spec.cluster.template.workers.replicas: must be of type integer; \"many\" is a text",
        "10: spec.cluster.template.workers.args: --name cannot be set: a worker is called as its pod, and there is one in a pod",
        "11: spec.cluster.template.workers.resources.limits.memory: `4GB` is no quantity; write a number, with a unit if need be, such as 2, 500m, 1.5 or 4Gi",
        "17: spec.cluster.template.workers.template.spec.containers[0].imge: a pod template has no such field",
        "19: spec.schedule.timeZone: the time zone `Europe/Pari` is unknown; write an IANA name such as Europe/Paris",
        "22: spec.schedule.clocks[0].cron: write cron with five fields (minute, hour, day of month, month, day of week) or as @hourly, @daily, @weekly, @monthly, @yearly",
        "22: spec.schedule.clocks[0].cron: the cron schedule has 6 fields and needs five: minute, hour, day of month, month, day of week (seconds and years are not supported)",
        "23: spec.schedule.clocks[1].interval: write an interval of at least one second in hours, minutes and seconds, such as 90s, 5m or 36h, or a number of days, weeks, months or years alone, such as 1d or 3mo",
        "23: spec.schedule.clocks[1].interval: `1.5h` is no interval; write hours, minutes and seconds such as 90s or 1h30m, or days, weeks, months or years alone such as 1d",
        "24: spec.template: this is no pod template: invalid type: string \"none\", expected a sequence (quote quantities, as in cpu: \"1\")",
    ];
    assert_eq!(told(&text), expected);
}

#[test]
fn the_planner_says_what_rules_cannot() {
    let clocks = |first: &str| {
        let head = format!("{FLOW}spec:\n  cluster: {{ref: {{name: a}}}}\n");
        told(&format!("{head}  schedule:\n    clocks:\n      - {{name: a, {first}}}\n"))
    };
    assert_eq!(
        clocks("cron: 0 0 2 * * *"),
        [
            "8: spec.schedule.clocks[0].cron: write cron with five fields (minute, hour, day of month, month, day of week) or as @hourly, @daily, @weekly, @monthly, @yearly",
            "8: spec.schedule.clocks[0].cron: the cron schedule has 6 fields and needs five: minute, hour, day of month, month, day of week (seconds and years are not supported)",
        ]
    );
    assert_eq!(
        clocks("cron: 61 * * * *"),
        ["8: spec.schedule.clocks[0].cron: minute `61` is out of range; write 0 to 59"]
    );
    assert_eq!(
        clocks("cron: 0 0 30 2 *"),
        [
            "8: spec.schedule.clocks[0].cron: `0 0 30 2 *` never comes: no month it names has such a day; correct the day of month or the month"
        ]
    );
}

/// The rules of the API have a file each, which is told as its header says; here, what only the planner
/// knows.
#[test]
fn a_fault_of_a_worker_group_is_told_on_its_own_line() {
    let groups = "
    - {name: good, replicas: 1}
    - name: gpu
      args: [--nworkers, \"2\"]
      resources:
        limits: {memory: 4GB}
      scratch:
        size: many
    - name: large
      template:
        spec:
          nodeSelecter: {pool: large}
";
    let cluster = "apiVersion: daskflow.dev/v1alpha1\nkind: DaskCluster\nmetadata: {name: a}\n";
    assert_eq!(
        told(&format!("{cluster}spec:\n  image: flows:1\n  workerGroups:{groups}")),
        [
            "9: spec.workerGroups[1].args: --nworkers cannot be set: a worker is called as its pod, and there is one in a pod",
            "11: spec.workerGroups[1].resources.limits.memory: `4GB` is no quantity; write a number, with a unit if need be, such as 2, 500m, 1.5 or 4Gi",
            "13: spec.workerGroups[1].scratch.size: `many` is no quantity; write a number, with a unit if need be, such as 2, 500m, 1.5 or 4Gi",
            "17: spec.workerGroups[2].template.spec.nodeSelecter: a pod template has no such field",
        ]
    );
    let inside = groups.replace("\n    ", "\n        ");
    let lines = told(&format!(
        "{FLOW}spec:\n  cluster:\n    template:\n      image: flows:1\n      workerGroups:{inside}"
    ));
    let places: Vec<&str> = lines.iter().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(
        places,
        [
            "spec.cluster.template.workerGroups[1].args",
            "spec.cluster.template.workerGroups[1].resources.limits.memory",
            "spec.cluster.template.workerGroups[1].scratch.size",
            "spec.cluster.template.workerGroups[2].template.spec.nodeSelecter",
        ]
    );
}

#[test]
fn metadata_is_checked() {
    let flow = |metadata: &str| {
        told(&format!("apiVersion: daskflow.dev/v1alpha1\nkind: Flow\nmetadata: {metadata}\n{GOOD}"))
    };
    assert_eq!(flow("{generateName: report-}"), Vec::<String>::new());
    assert_eq!(flow("{creationTimestamp: null, name: a, labels: {a: b}}"), Vec::<String>::new());
    assert_eq!(flow("{labels: {}}"), ["3: metadata.name: Required value: name or generateName is required"]);
    assert_eq!(
        flow("{name: a, label: {a: b}, labels: {a: yes}}"),
        [
            "3: metadata.label: unknown field \"metadata.label\"; did you mean labels?",
            "3: metadata.labels.a: must be of type string; true is a boolean (write it in quotes to make it a text)",
        ]
    );
    let long = flow("{generateName: abbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-}");
    assert!(
        long[0].starts_with("3: metadata.name: the name of a Flow has at most 38 characters"),
        "{long:?}"
    );
    let namespace = flow("{name: a, namespace: Team_A}");
    assert!(namespace[0].starts_with("3: metadata.namespace: \"Team_A\" is no name of a namespace"));
    let label = flow("{name: a, labels: {example.com/owner: a b}}");
    assert!(label[0].starts_with("3: metadata.labels[example.com/owner]: \"a b\" is no value of a label"));
}

#[test]
fn several_documents_lists_and_other_kinds_in_one_text() {
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, name: b}\n";
    let bad = "apiVersion: daskflow.dev/v1alpha1\nkind: FlowRun\nmetadata: {name: now}\nspec: {}\n";
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n  - {}\n  - {}\n",
        bad.trim_end().replace('\n', "\n    "),
        other.trim_end().replace('\n', "\n    ")
    );
    let ran = check(&format!("# only a comment\n---\n{FLOW}{GOOD}---\n{other}---\n---\n{bad}---\n{list}"));
    assert_eq!(
        ran.lines(),
        [
            "STDIN:16: spec.flow: Required value",
            "STDIN:24: spec.flow: Required value",
            "3 objects checked, 2 of other kinds passed over, 2 faults"
        ]
    );
    assert_eq!(ran.code, 1);
}

#[test]
fn only_other_kinds_are_fine_and_nothing_is_not() {
    let ran = check("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    assert_eq!((ran.code, ran.out.as_str()), (0, "0 objects checked, 1 of other kinds passed over\n"));
    for text in ["", "# nothing\n---\n---\n"] {
        let ran = check(text);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""));
        assert_eq!(ran.err, "daskflow: there is no object in what was given\n");
    }
}

#[test]
fn what_an_object_is_has_to_be_said() {
    assert_eq!(
        told(
            "kind: Flow\n---\napiVersion: daskflow.dev/v1\nkind: Flow\n---\napiVersion: daskflow.dev/v1alpha1\nkind: Flo\n---\n- 1\n"
        ),
        [
            "1: apiVersion: Required value: every object says its apiVersion and its kind",
            "3: apiVersion: daskflow.dev has no version v1: write daskflow.dev/v1alpha1",
            "7: kind: daskflow.dev has no kind Flo: there are DaskCluster, Flow, FlowRun, FlowBackfill; did you mean Flow?",
            "9: this is no object: write apiVersion, kind and what belongs to them",
        ]
    );
}

#[test]
fn json_is_read_too() {
    let text = "{\n\t\"apiVersion\": \"daskflow.dev/v1alpha1\", \"kind\": \"Flow\",\n\t\"metadata\": {\"name\": \"a\"},\n\t\"spec\": {\n\t\t\"cluster\": {},\n\t\t\"suspend\": \"no\"\n\t}\n}\n";
    let told = told(text);
    assert!(told[0].starts_with("5: spec.cluster: write exactly one of cluster.ref"), "{told:?}");
    assert_eq!(told[1..], ["6: spec.suspend: must be of type boolean; \"no\" is a text"]);
}

#[test]
fn a_text_that_cannot_be_read_is_told_in_one_line() {
    let ran = check(&format!("{FLOW}{GOOD}---\na: [\n"));
    assert_eq!(ran.code, 1);
    assert_eq!(ran.lines().len(), 2, "{ran:?}");
    assert!(ran.out.starts_with("STDIN:7: broken YAML: ") || ran.out.starts_with("STDIN:6: broken YAML: "));
    assert!(ran.out.ends_with("1 object checked, 1 fault\n"), "{ran:?}");
}

#[test]
fn what_kubectl_reads_otherwise_is_told() {
    let spec = "spec:\n  cluster: {ref: {name: a}}\n  parameters:\n    y: 1\n    x: 1\n    x: 2\n";
    assert_eq!(
        told(&format!("{FLOW}{spec}")),
        [
            "7: kubectl reads the name y as true: write it in quotes",
            "9: x is given a second time; it is on line 8 already"
        ]
    );
}

#[test]
fn folders_are_looked_into_as_kubectl_does() {
    let bad = format!("{FLOW}spec: {{}}\n");
    let good = format!("{FLOW}{GOOD}");
    let files = [
        ("flows/a.yaml", bad.as_str()),
        ("flows/b.yml", &good),
        ("flows/c.json", "{\"apiVersion\": \"v1\", \"kind\": \"Secret\"}"),
        ("flows/notes.txt", "no yaml: ["),
        ("flows/deep/d.yaml", &bad),
        ("e.txt", &good),
        ("empty/notes.txt", ""),
    ];
    let folder = folder("validate_folders", &files);
    let ran = daskflow(&folder, &["validate", "-f", "flows", "--filename", "e.txt"], "");
    assert_eq!(
        ran.lines(),
        [
            "flows/a.yaml:4: spec.cluster: Required value",
            "3 objects checked, 1 of other kinds passed over, 1 fault"
        ]
    );
    let ran = daskflow(&folder, &["validate", "-R", "-f", "flows"], "");
    assert!(ran.out.contains("\nflows/deep/d.yaml:4: spec.cluster: Required value\n"), "{ran:?}");
    let ran = daskflow(&folder, &["validate", "-f", "flows/b.yml", "flows/c.json", "-f", "-"], &good);
    assert_eq!((ran.code, ran.out.as_str()), (0, "2 objects checked, 1 of other kinds passed over\n"));
    let ran = daskflow(&folder, &["validate", "-f", "empty"], "");
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("daskflow: empty has no file that ends in .json, .yaml or .yml"), "{ran:?}");
}

#[test]
fn what_cannot_be_read_does_not_keep_the_rest_from_being_checked() {
    let folder = folder("validate_unreadable", &[("a.yaml", &format!("{FLOW}spec: {{}}\n"))]);
    std::fs::write(folder.join("latin.yaml"), b"a: \xe9\n").unwrap();
    let ran = daskflow(&folder, &["validate", "-f", "nowhere.yaml", "-f", "latin.yaml", "-f", "a.yaml"], "");
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "daskflow: nowhere.yaml cannot be read: No such file or directory (os error 2)\ndaskflow: latin.yaml is not a text of Unicode in UTF-8\n"
    );
    assert_eq!(ran.lines()[0], "a.yaml:4: spec.cluster: Required value");
    assert_eq!(daskflow(&folder, &["validate"], "").code, 2, "the command line is wrong");
}

#[test]
fn programs_get_json() {
    let text = format!("{FLOW}spec:\n  cluster: {{ref: {{name: a}}}}\n  template: {{spec: {{nodes: 1}}}}\n");
    let ran = daskflow(Path::new("/"), &["validate", "-o", "json", "-f", "-"], &text);
    let expected = serde_json::json!([{
        "file": "STDIN",
        "line": 6,
        "field": "spec.template.spec.nodes",
        "reason": "InvalidSpec",
        "message": "a pod template has no such field",
    }]);
    assert_eq!(ran.code, 1);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), expected);
    let ran = daskflow(Path::new("/"), &["validate", "-o", "json", "-f", "-"], &format!("{FLOW}{GOOD}"));
    assert_eq!((ran.code, ran.out.as_str()), (0, "[]\n"));
}

/// The hints about a text that has no fault, without the name of the file.
fn hinted(text: &str) -> Vec<String> {
    let ran = check(text);
    assert_eq!(ran.code, 0, "a hint is no fault: {ran:?}");
    let lines = ran.out.lines().filter_map(|line| line.strip_prefix("STDIN:"));
    lines.inspect(|line| assert!(line.contains(": hint: "), "{line}")).map(str::to_owned).collect()
}

#[test]
fn json_is_read_as_programs_write_it() {
    let object = |name: &str, x: &str| {
        format!(
            r#"{{"apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {{"name": "{name}"}}, "spec": {{"cluster": {{"ref": {{"name": "a"}}}}, "parameters": {{"x": "{x}"}}}}}}"#
        )
    };
    // As json.dumps, as `kubectl get --output json` twice, as jq, beside YAML.
    let emoji = object("a", r"\ud83d\ude00 \u00e9");
    let ran = check(&format!(
        "{emoji}\n{}\n---\n{FLOW}{GOOD}---\n{}{}",
        object("b", ""),
        object("c", ""),
        object("d", "")
    ));
    assert_eq!((ran.code, ran.out.as_str()), (0, "5 objects checked\n"), "{ran:?}");
    let broken = check(&format!("{emoji}\n{}\n", object("B", "")));
    assert!(broken.out.starts_with("STDIN:2: metadata.name"), "{broken:?}");
}

#[test]
fn templates_are_told_as_such() {
    let helm =
        "apiVersion: daskflow.dev/v1alpha1\nkind: Flow\nmetadata:\n  name: {{ .Release.Name }}\nspec: {}\n";
    let jinja = "{% if nightly %}\napiVersion: daskflow.dev/v1alpha1\n{% endif %}\n";
    for text in [helm, jinja] {
        let told = told(text);
        assert!(told[0].contains("this looks like a template"), "{told:?}");
        assert!(told[0].contains("helm template . | daskflow validate -f -"), "{told:?}");
    }
    for (value, name) in [("${NAME}", "${NAME}"), ("'{{ name }}'", "{{ name }}"), ("$(NAME)", "$(NAME)")] {
        let text =
            format!("apiVersion: daskflow.dev/v1alpha1\nkind: Flow\nmetadata: {{name: \"{value}\"}}\n{GOOD}");
        let text = text.replace("\"'", "'").replace("'\"", "'");
        let told = told(&text);
        assert!(told[0].contains(&format!("{name} looks like a placeholder")), "{told:?}");
    }
    let image = format!("{FLOW}spec:\n  image: flows:${{TAG}}\n  cluster: {{ref: {{name: a}}}}\n");
    assert_eq!(
        hinted(&image),
        [
            "5: hint: spec.image: ${TAG} looks like a placeholder that was not filled in; it is taken as it stands"
        ]
    );
}

#[test]
fn what_may_be_meant_otherwise_is_a_hint() {
    let clocks = "spec:\n  cluster: {ref: {name: a}}\n  schedule:\n    timeZone: EST\n    clocks:\n    - name: a\n      cron: 0 10 1-7 * 1\n    - name: b\n      rrule: |\n        DTSTART:20270104T163000\n        RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR\n        EXDATE:20270326T000000\n";
    let text = format!("{FLOW}{clocks}");
    let hints = hinted(&text);
    assert_eq!(hints.len(), 3, "{hints:?}");
    assert!(hints[0].starts_with("7: hint: spec.schedule.timeZone: EST is 5 hours behind UTC"), "{hints:?}");
    assert!(hints[1].starts_with("10: hint: spec.schedule.clocks[0].cron: it ticks"), "{hints:?}");
    assert!(hints[2].ends_with("write EXDATE:20270326T163000"), "{hints:?}");
    assert!(check(&text).out.ends_with("1 object checked, 3 hints\n"));
    let json = daskflow(Path::new("/"), &["validate", "-o", "json", "-f", "-"], &text);
    let found: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &found[0]["hint"]), (0, &Value::Bool(true)));
}

#[test]
fn words_of_other_programs_are_answered_with_ours() {
    let cron = |cron: &str| {
        told(&format!(
            "{FLOW}spec:\n  cluster: {{ref: {{name: a}}}}\n  schedule: {{clocks: [{{name: a, cron: \"{cron}\"}}]}}\n"
        ))
    };
    for (written, rule) in [
        ("0 10 * * 1#1", "BYDAY=1MO"),
        ("0 0 L * *", "BYMONTHDAY=-1"),
        ("0 0 1W * *", "BYSETPOS=1"),
        ("0 0 LW * *", "BYSETPOS=-1"),
        ("0 0 * * 5L", "BYDAY=-1FR"),
    ] {
        let told = cron(written);
        assert!(
            told[0].contains(&format!("rrule: FREQ=MONTHLY;{rule}")) || told[0].contains(rule),
            "{told:?}"
        );
    }
    let zone = told(&format!(
        "{FLOW}spec:\n  cluster: {{ref: {{name: a}}}}\n  schedule: {{timeZone: GMT+5, clocks: [{{name: a, interval: 1h}}]}}\n"
    ));
    assert!(zone[0].contains("Asia/Karachi"), "{zone:?}");
    let gateway = told(&format!(
        "{FLOW}spec:\n  image: a\n  cluster: {{address: \"gateway://gateway.example:8786/team-a.0123\"}}\n"
    ));
    assert!(gateway.iter().any(|line| line.contains("Dask Gateway")), "{gateway:?}");
}

#[test]
fn what_ticks_no_more_is_a_hint() {
    let clocks =
        "[{name: a, rrule: FREQ=DAILY;COUNT=3}, {name: b, interval: 1h, endAt: '2020-01-01T00:00:00Z'}]";
    let ran =
        check(&format!("{FLOW}spec: {{cluster: {{ref: {{name: a}}}}, schedule: {{clocks: {clocks}}}}}\n"));
    let told = ran.out.matches("hint: spec.schedule.clocks").count();
    assert_eq!((ran.code, told), (0, 2), "{ran:?}");
    assert!(ran.out.contains("COUNT counts from 1970"), "{ran:?}");
}

#[test]
fn a_number_where_a_length_of_time_belongs_has_its_cure() {
    let spec = "spec: {cluster: {ref: {name: a}}, timeout: 300, schedule: {clocks: [{name: a, cron: 5}]}}\n";
    assert_eq!(
        told(&format!("{FLOW}{spec}")),
        [
            "4: spec.schedule.clocks[0].cron: must be of type string; 5 is a number (write five fields in quotes, such as \"0 5 * * *\")",
            "4: spec.timeout: must be of type string; 300 is a number (write it with a unit: 300s or 5m)",
        ]
    );
}

#[test]
fn a_group_like_ours_is_hinted_at() {
    let ran = check("apiVersion: daskflow.io/v1beta1\nkind: Flow\nmetadata: {name: a}\n");
    let hint = "STDIN:1: hint: apiVersion: this is no object of daskflow, and is passed over: those have daskflow.dev/v1alpha1";
    assert_eq!((ran.code, ran.lines()[0]), (0, hint));
}

#[test]
fn a_file_without_its_option_is_told_how_it_is_read() {
    for command in ["validate", "next"] {
        let ran = daskflow(Path::new("/"), &[command, "two.yaml"], "");
        assert!(ran.code == 2 && ran.err.contains("it names a file: write -f two.yaml"), "{ran:?}");
    }
}

/// A disk without room stands for every output that cannot be written.
#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    use std::process::{Command, Stdio};
    let file = case_file("bad", "flowrun-flow-changed");
    for arguments in [&["validate", "-f"][..], &["validate", "-o", "json", "-f"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let program = Command::new(env!("CARGO_BIN_EXE_daskflow"))
            .args(arguments)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(full)
            .output()
            .unwrap();
        let said = String::from_utf8(program.stderr).unwrap();
        assert_eq!(program.status.code(), Some(1), "{arguments:?}");
        assert!(said.starts_with("daskflow: the output cannot be written"), "{said}");
    }
}
