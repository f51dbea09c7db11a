//! `daskflow local SCRIPT.py`: a script without a manifest, and the manifest that it prints.

use std::path::Path;
use std::time::Duration;

use super::{Local, PATIENCE, python_with, until};
use crate::program::{daskflow, folder};

/// A script with a parameter, a module beside it and variables of a file; it works on both workers.
const SCRIPT: &str = "\
import json
import os
import sys

from distributed import Client

import tables


def main():
    count = json.loads(os.environ['DASKFLOW_PARAMETERS'])['count']
    with Client() as client:
        client.wait_for_workers(2)
        assert len(client.scheduler_info()['workers']) == 2
        total = client.submit(sum, client.map(tables.double, range(count))).result()
        token = client.submit(tables.token).result()
    print('total', total, token, os.environ['TOKEN'], sys.argv[1:])


if __name__ == '__main__':
    main()
";

const TABLES: &str = "\
import os


def double(number):
    return 2 * number


def token():
    return os.environ['TOKEN']
";

const FILES: [(&str, &str); 4] = [
    ("src/nightly_etl.py", SCRIPT),
    ("src/tables.py", TABLES),
    ("broken.py", "import dask\nraise ValueError('no such table')\n"),
    (".env", "# secrets\nexport TOKEN=\"a b\" # of nothing\n"),
];

#[test]
fn a_script_runs_once_and_its_end_is_the_end() {
    let Some(python) = python_with("2026.8.0") else { return };
    let folder = folder("local_script", &FILES);
    let arguments =
        ["src/nightly_etl.py", "-p", "count=4", "--env-file", ".env", "--", "--day", "a$$b $(HOME)", "-p"];
    let mut local = Local::start_in(&folder, "local_script", &python, &arguments);
    assert_eq!(local.code(PATIENCE), Some(0), "{}", local.text());
    local.leaves_nothing(Duration::from_secs(1));
    until(Duration::from_secs(5), || {
        local.text().contains("total 12 a b a b ['--day', 'a$$b $(HOME)', '-p']").then_some(())
    })
    .unwrap_or_else(|| panic!("{}", local.text()));
    assert!(local.text().contains("run nightly-etl-"), "{}", local.text());
    let mut local = Local::start_in(&folder, "local_script_broken", &python, &["broken.py"]);
    assert_eq!(local.code(PATIENCE), Some(1), "{}", local.text());
    let wanted = "ValueError: no such table";
    until(Duration::from_secs(5), || local.text().contains(wanted).then_some(()))
        .unwrap_or_else(|| panic!("{}", local.text()));
}

#[test]
fn a_script_runs_on_its_schedule() {
    let Some(python) = python_with("2026.8.0") else { return };
    let folder = folder("local_script_every", &FILES);
    let arguments = ["src/nightly_etl.py", "-p", "count=4", "--env-file", ".env", "--every", "3s"];
    let mut local = Local::start_in(&folder, "local_script_every", &python, &arguments);
    local.says("Succeeded after", 2);
    local.signal("INT");
    assert_eq!(local.code(Duration::from_secs(15)), Some(0), "{}", local.text());
    local.leaves_nothing(Duration::from_secs(1));
}

/// What is saved is what runs next, with a module beside it that it did not have before.
#[test]
fn a_script_that_is_saved_is_what_runs_next() {
    let Some(python) = python_with("2026.8.0") else { return };
    let leaves = |file: &str| format!("import distributed\nopen('{file}', 'w').close()\n");
    let files = [("etl.py", leaves("first")), ("names.py", "FILE = 'second'\n".to_owned())];
    let folder = folder("local_script_saved", &files.each_ref().map(|(name, text)| (*name, text.as_str())));
    let mut local = Local::start_in(
        &folder,
        "local_script_saved",
        &python,
        &["etl.py", "--every", "2s", "--workers", "1"],
    );
    let is_left = |local: &Local, file: &str| {
        until(PATIENCE, || folder.join(file).exists().then_some(()))
            .unwrap_or_else(|| panic!("no run left {file}:\n{}", local.text()));
    };
    is_left(&local, "first");
    let save = |text: &str| {
        std::fs::write(folder.join("etl.py~"), text).unwrap();
        std::fs::rename(folder.join("etl.py~"), folder.join("etl.py")).unwrap();
    };
    save("import distributed\nimport names\nopen(names.FILE, 'w').close()\n");
    local.says("the manifest of etl.py: Flow etl is changed", 1);
    is_left(&local, "second");
    // What cannot run is said, and what ran before goes on.
    save("import prefect\n");
    local.says("not applied: etl.py imports prefect, which", 1);
    std::fs::remove_file(folder.join("second")).unwrap();
    is_left(&local, "second");
    save(&leaves("third"));
    is_left(&local, "third");
    local.signal("INT");
    assert_eq!(local.code(Duration::from_secs(15)), Some(0), "{}", local.text());
    local.leaves_nothing(Duration::from_secs(1));
}

/// No Python is needed to print a manifest.
#[test]
fn what_is_printed_is_a_manifest() {
    let folder = folder("local_script_print", &FILES);
    let times: [&[&str]; 3] = [&[], &["--every", "1d"], &["--cron", "0 8 * * 1-5", "--workers", "4"]];
    for arguments in times {
        let all = ["local", "src/nightly_etl.py", "--print", "--python", "/nowhere", "-p", "a=b"];
        let printed = daskflow(&folder, &[all.as_slice(), arguments].concat(), "");
        assert!(printed.code == 0 && printed.err.is_empty(), "{printed:?}");
        let validated = daskflow(&folder, &["validate", "-f", "-"], &printed.out);
        assert_eq!((validated.code, validated.out.as_str()), (0, "2 objects checked\n"), "{}", printed.out);
        for word in
            ["# It imports tables from beside it", "name: nightly-etl\n", "# A Dask cluster, and a Flow"]
        {
            assert!(printed.out.contains(word), "{word}: {}", printed.out);
        }
        let next = daskflow(&folder, &["next", "-f", "-", "-n", "default"], &printed.out);
        let is_scheduled = next.code == 0 && next.out.contains("nightly-etl-2");
        assert_eq!(is_scheduled, !arguments.is_empty(), "{next:?}");
    }
}

#[test]
fn what_cannot_be_run_is_named_with_its_cure() {
    let folder = folder("local_script_refused", &FILES);
    std::fs::write(folder.join("bad.env"), "A=b\nno variable\n").unwrap();
    std::fs::write(folder.join("flow.yaml"), "kind: Flow\n").unwrap();
    std::fs::write(folder.join("empty.py"), "\n").unwrap();
    for (arguments, code, words) in [
        (vec!["nowhere.py"], 1, "nowhere.py cannot be read"),
        (vec!["flow.yaml"], 1, "is a manifest already: daskflow local -f flow.yaml runs it"),
        (vec!["src"], 1, "src is a folder: name a script in it"),
        (vec!["empty.py"], 1, "there is nothing to run"),
        (vec!["broken.py", "--every", "often"], 2, "for '--every <INTERVAL>': `often` is no interval"),
        (vec!["broken.py", "--cron", "0 25 * * *"], 2, "for '--cron <PATTERN>': hour `25` is out of range"),
        (vec!["broken.py", "--env-file", "bad.env"], 1, "bad.env:2: this is no variable"),
        (vec!["broken.py", "--every", "1m", "--cron", "@daily"], 2, "cannot be used with"),
        (vec!["broken.py", "-f", "flow.yaml"], 2, "cannot be used with"),
        (vec!["broken.py", "-p", "count"], 2, "such as count=3"),
        (vec!["broken.py", "--workers", "0"], 2, "0 is not in 1..=1000"),
        (vec!["-f", "flow.yaml", "--every", "1m"], 2, "cannot be used with"),
        (vec!["-f", "flow.yaml", "--workers", "3"], 2, "cannot be used with"),
        (vec!["-f", "flow.yaml", "--print"], 2, "cannot be used with"),
        (vec![], 2, "--filename <FILE>"),
    ] {
        let all = [["local", "--python", "/nowhere/python"].as_slice(), &arguments].concat();
        let ran = daskflow(&folder, &all, "");
        assert!(ran.code == code && ran.err.contains(words), "{arguments:?}: {ran:?}");
    }
    // All that can be known before is well; only the Python is not there.
    let ran = daskflow(&folder, &["local", "broken.py", "--python", "/nowhere/python"], "");
    assert!(ran.code == 1 && ran.err.contains("/nowhere/python cannot be started"), "{ran:?}");
}

#[test]
fn a_python_without_prefect_is_refused_with_what_to_install() {
    let Some(python) = python_with("2026.8.0") else { return };
    let python = python.display().to_string();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/samples/example/flow.py");
    let ran = daskflow(Path::new("/"), &["local", example, "--python", &python], "");
    let cure = "-m pip install 'prefect<2', or name another Python with --python";
    assert!(
        ran.code == 1 && ran.err.contains("imports prefect, which ") && ran.err.contains(cure),
        "{ran:?}"
    );
}
