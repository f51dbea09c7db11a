//! `daskflow local --until-idle`: what is waited for, and what its exit code says.

use super::{manifest, program, python_with};

/// Runs the manifest until nothing is left to do; gives its exit code and what it wrote.
fn run(test: &str, python: &std::path::Path, manifest: &str) -> (i32, String) {
    let folder = program::folder(test, &[("flow.yaml", manifest)]);
    let python = python.display().to_string();
    let ran =
        program::daskflow(&folder, &["local", "-f", "flow.yaml", "--until-idle", "--python", &python], "");
    (ran.code, ran.out + &ran.err)
}

/// The FlowRun of the files, and the ticks of a clock that ends; of a clock without an end none is waited
/// for.
#[test]
fn it_ends_when_all_has_ended_that_has_an_end() {
    let Some(python) = python_with("2026.8.0") else { return };
    let yearly = "  schedule: {clocks: [{name: yearly, cron: 0 0 1 1 *}]}\n";
    let ends = manifest("print('done')", yearly);
    let now =
        "---\napiVersion: daskflow.dev/v1alpha1\nkind: FlowRun\nmetadata: {name: now}\nspec: {flow: etl}\n";
    let failing = "---
apiVersion: daskflow.dev/v1alpha1
kind: Flow
metadata: {name: failing}
spec:
  cluster: {ref: {name: small}}
  command: [sh, -c, exit 7]
  concurrency: Allow
  schedule: {clocks: [{name: twice, interval: 1s, maxRuns: 2}]}
";
    let (code, out) = run("local_idle", &python, &format!("{ends}{now}"));
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("run now: Succeeded after"), "{out}");
    assert!(out.contains("1 have ended, 0 of them failed"), "{out}");
    let (code, out) = run("local_idle_failing", &python, &format!("{ends}{now}{failing}"));
    assert_eq!(code, 7, "{out}");
    assert!(out.contains("run now: Succeeded after"), "{out}");
    assert!(out.contains("3 have ended, 2 of them failed"), "{out}");
}

#[test]
fn what_cannot_go_on_is_named_and_fails() {
    let Some(python) = python_with("2026.8.0") else { return };
    let orphan =
        "apiVersion: daskflow.dev/v1alpha1\nkind: FlowRun\nmetadata: {name: now}\nspec: {flow: nowhere}\n";
    let (code, out) = run("local_idle_orphan", &python, orphan);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("run now: there is no Flow nowhere"), "{out}");
}
