//! What is written can be read again, and says what was remarked.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::write::{Comments, document};
use super::*;

const CLUSTER: &str = "
apiVersion: kubernetes.dask.org/v1
kind: DaskCluster
metadata: {name: simple}
spec:
  worker:
    replicas: 2
    spec: {containers: [{name: worker, image: 'dask:1', args: [dask, worker, --name, $(DASK_WORKER_NAME), --nthreads, '2']}]}
  scheduler:
    spec: {containers: [{name: scheduler, image: 'dask:1', args: [dask, scheduler]}]}
    service:
      type: ClusterIP
      selector: {dask.org/cluster-name: simple, dask.org/component: scheduler}
      ports: [{name: tcp-comm, port: 8786, targetPort: tcp-comm}, {name: http-dashboard, port: 8787}]
";

fn told(migration: &Migration) -> Vec<String> {
    let told = migration.faults.iter().map(|(text, fault)| {
        let hint = if fault.hint { "hint: " } else { "" };
        format!("{text}:{}: {hint}{}: {}", fault.line, fault.field, fault.message)
    });
    told.collect()
}

#[test]
fn a_cluster_is_written_with_its_comments() {
    let migration = migrate(&[CLUSTER]);
    assert_eq!(told(&migration), Vec::<String>::new());
    assert_eq!((migration.theirs, migration.ours, migration.others), (1, 1, 0));
    let lines: Vec<&str> = migration.text.lines().collect();
    let head = ["apiVersion: daskflow.dev/v1alpha1", "kind: DaskCluster", "metadata:", "  name: simple"];
    assert_eq!(lines[..4], head);
    let read: Value = serde_yaml::from_str(&migration.text).unwrap();
    assert_eq!(
        read["spec"],
        json!({"image": "dask:1", "entrypoint": "Image", "workers": {"replicas": 2, "threads": 2}}),
        "{}",
        migration.text
    );
    let above = |field: &str| {
        let at = lines.iter().position(|line| line.trim_start().starts_with(field)).unwrap();
        lines[..at].iter().rev().take_while(|line| line.trim_start().starts_with('#')).count()
    };
    assert!(above("workers:") > 0 && above("entrypoint:") > 0, "{}", migration.text);
    assert_eq!((above("image:"), above("threads:")), (0, 0), "{}", migration.text);
}

#[test]
fn a_refusal_is_told_at_its_line_and_nothing_is_written() {
    let refused = CLUSTER.replace("--nthreads, '2'", "--nworkers, '4'");
    let migration = migrate(&["{}", &refused]);
    assert_eq!((migration.theirs, migration.ours, migration.text.as_str()), (1, 0, ""));
    let told = told(&migration);
    let refusal = "1:8: spec.worker.spec.containers[0].args: --nworkers 4: a pod has one worker";
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with(refusal), "{told:#?}");
}

#[test]
fn a_value_of_another_type_is_told_with_its_field_and_line() {
    let number = CLUSTER.replace("'2'", "2");
    let said = told(&migrate(&[&number]));
    let message = "this cannot be read: invalid type: integer `2`, expected a string; write it in quotes";
    assert_eq!(said, [format!("0:8: spec.worker.spec.containers[0].args[5]: {message}")]);
    let said = told(&migrate(&[&CLUSTER.replace("replicas: 2", "replicas: '2'")]));
    assert!(said[0].starts_with("0:7: spec.worker.replicas: this cannot be read"), "{said:?}");
    let whole = migrate(&[&CLUSTER.replace("replicas: 2", "replicas: 2.0")]);
    assert_eq!((told(&whole), whole.text), (Vec::new(), migrate(&[CLUSTER]).text));
}

#[test]
fn what_our_own_rules_refuse_is_not_written() {
    let migration = migrate(&[&CLUSTER.replace("metadata: {name: simple}", "metadata: {name: 1simple}")]);
    assert_eq!(migration.ours, 0);
    let told = told(&migration);
    let refusal = "0:4: metadata.name: what it would become is refused: the name of a DaskCluster is also";
    assert!(told.iter().any(|line| line.starts_with(refusal)), "{told:#?}");
}

#[test]
fn parts_of_a_cluster_are_found_in_other_texts_and_others_are_counted() {
    let scaler = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: kubernetes.dask.org/v1\n  kind: DaskAutoscaler\n  \
                  metadata: {name: a}\n  spec: {cluster: simple, minimum: 0, maximum: 5}\n- {apiVersion: v1, kind: Secret}\n";
    let migration = migrate(&[scaler, CLUSTER]);
    assert_eq!((migration.theirs, migration.ours, migration.others), (2, 1, 1), "{:?}", told(&migration));
    let read: Value = serde_yaml::from_str(&migration.text).unwrap();
    let workers = &read["spec"]["workers"];
    assert_eq!(workers["autoscale"], json!({"minimum": 0, "maximum": 5}));
    assert_eq!(workers["replicas"], Value::Null);
    let comment =
        "    # DaskAutoscaler a spec: the group starts with the minimum, and not with the 2 workers";
    assert!(migration.text.contains(comment), "{}", migration.text);
    let alone = migrate(&[scaler]);
    assert!(
        told(&alone)[0].starts_with("0:7: spec.cluster: the DaskCluster simple is in none"),
        "{:?}",
        told(&alone)
    );
}

#[test]
fn a_second_object_of_a_name_is_not_written() {
    let again = CLUSTER.replace("replicas: 2", "replicas: 3");
    let migration = migrate(&[CLUSTER, &again]);
    let expected = [
        "0:4: hint: metadata.name: the DaskCluster simple is written for this, and not for the DaskCluster simple too",
        "1:4: metadata.name: the DaskCluster simple is written for the DaskCluster simple already: give one of them another \
         name",
    ];
    assert_eq!(told(&migration), expected);
    assert_eq!((migration.theirs, migration.ours), (2, 1));
    assert!(!migration.text.contains("replicas: 3"), "{}", migration.text);
    let elsewhere = again.replace("{name: simple}", "{name: simple, namespace: b}");
    assert_eq!(migrate(&[CLUSTER, &elsewhere]).ours, 2, "of another namespace");
    // One that is not written takes no name away.
    let refused = again.replace("--nthreads, '2'", "--nworkers, '4'");
    assert_eq!(migrate(&[&refused, CLUSTER]).ours, 1);
}

/// A job as a cluster prints it, with this command, in the cluster above.
fn job(metadata: &str, command: &str) -> String {
    let cluster = CLUSTER.split_once("spec:\n").unwrap().1.replace('\n', "\n    ");
    format!(
        "apiVersion: kubernetes.dask.org/v1\nkind: DaskJob\nmetadata: {{{metadata}}}\nspec:\n  job:\n    \
         spec: {{containers: [{{name: job, image: 'dask:1', command: [{command}]}}]}}\n  cluster:\n   spec:\n    {cluster}\n"
    )
}

#[test]
fn no_run_is_of_a_flow_that_is_written_for_another_job_or_not_at_all() {
    let other = job("name: nightly", "'true'");
    let family = ["nightly-a", "nightly-b"]
        .map(|name| job(&format!("name: {name}, generateName: nightly-"), "python"));
    let migration = migrate(&[&other, &family[0], &family[1]]);
    let said = told(&migration);
    assert_eq!((migration.theirs, migration.ours), (3, 2), "{said:?}");
    assert!(
        said.iter().any(|line| line.starts_with("1:3: metadata.name: the Flow nightly is written")),
        "{said:?}"
    );
    let why = "2:3: metadata.generateName: its Flow would be the one that is written for the DaskJob nightly-a and that is refused";
    assert!(said.contains(&why.to_owned()), "{said:?}");
    assert!(!migration.text.contains("nightly-b"), "{}", migration.text);
    assert_eq!(migrate(&[&family[0], &family[1]]).ours, 3, "a Flow and two runs");
    // One of a family has the name of a job that is none of it: its Flow would be the family's.
    let lone = job("name: nightly-a", "python");
    let said = told(&migrate(&[&lone, &family[0], &family[1]]));
    assert!(said.contains(&why.to_owned()), "{said:?}");
}

#[test]
fn a_refusal_of_what_was_written_stands_at_the_field_of_theirs() {
    let second = CLUSTER.replace(
        "spec: {containers: [{name: worker",
        "spec: {containers: [{name: two, image: x, args: [dask, worker]}, {name: worker",
    );
    let told = told(&migrate(&[&second]));
    let refusal =
        "0:8: spec.worker.spec.containers[0]: what it would become is refused: spec.workers.template.spec";
    assert!(told[0].starts_with(refusal), "{told:#?}");
}

#[test]
fn a_list_of_one_kind_is_read_and_other_kinds_are_counted() {
    let item = CLUSTER
        .replace("\napiVersion: kubernetes.dask.org/v1\nkind: DaskCluster\n", "")
        .replace('\n', "\n  ");
    let list = format!("apiVersion: kubernetes.dask.org/v1\nkind: DaskClusterList\nitems:\n- {item}\n");
    let migration = migrate(&[&list, "{apiVersion: argoproj.io/v1, kind: Workflow}"]);
    assert_eq!((migration.theirs, migration.ours), (1, 1), "{:?}", told(&migration));
    assert_eq!(migration.kinds, [("Workflow of argoproj.io".to_owned(), 1)].into());
    let template = told(&migrate(&["metadata:\n  name: {{ .Release.Name }}-dask\n"]));
    assert!(template[0].contains("`helm template . | daskflow migrate -f -`"), "{template:?}");
}

/// What both readers of YAML find in a document.
fn read_again(document: &str) -> [Value; 2] {
    let theirs: Value = serde_yaml::from_str(document).unwrap_or_else(|error| panic!("{error}: {document}"));
    let (documents, broken) = crate::manifest::yaml::documents(document);
    assert_eq!(broken, None, "{document}");
    [documents[0].root.to_value(), theirs]
}

#[test]
fn an_item_with_a_comment_and_texts_of_several_lines_are_read_again() {
    let object = json!({"a": [{"name": "x", "script": "one\ntwo\n", "list": [["b"], [], {}]}, "y", "- z: #"], "b": {}});
    let mut comments = Comments::new();
    for path in ["a[0]", "a[0].name", "a[0].script", "a[2]", "b", ""] {
        comments.insert(FieldPath::find(path, &object), vec![format!("of {path} {}", "word ".repeat(40))]);
    }
    let text = document(&object, &comments);
    assert_eq!(read_again(&text), [object.clone(), object], "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    assert_eq!(text.matches("# of").count(), comments.len(), "{text}");
}

fn any_value() -> impl Strategy<Value = Value> {
    let word = "[a-zA-Z0-9:#' =.,/$(){}-]{0,8}|[0-9]{1,3}(Gi|s|GB|e|x1|E)|true|No|1e3|0x1|~|null|\\PC{0,4}|[a\n ]{0,6}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z0-9./ :-]{1,6}|\\PC{1,3}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_object_is_read_again(fields in prop::collection::btree_map("[a-z]{1,4}|\\PC{1,3}", any_value(), 1..4)) {
        let object = Value::Object(fields.into_iter().collect());
        let text = document(&object, &Comments::new());
        prop_assert_eq!(read_again(&text), [object.clone(), object], "{}", text);
    }

    #[test]
    fn any_text_is_taken(text in "\\PC{0,60}|(apiVersion: kubernetes.dask.org/v1\n|kind: Dask(Cluster|Job)\n|spec: (\\{\\}|1)\n){0,4}") {
        migrate(&[&text]);
    }
}
