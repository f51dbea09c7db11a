//! `daskflow init`: the first manifest of a script.

use crate::program::{daskflow, folder};

const SCRIPT: &str = "from dask.distributed import Client\n\nprint(Client().submit(sum, [1, 2]).result())\n";

#[test]
fn a_manifest_is_written_once_and_is_that_of_local() {
    let folder = folder("init", &[("src/nightly_etl.py", SCRIPT)]);
    let of = |arguments: &[&str]| daskflow(&folder, arguments, "");
    let wishes = ["--python", "/nowhere", "-p", "count=3", "--every", "1d", "--workers", "4"];
    let script = ["src/nightly_etl.py"];
    let printed = of(&[&["init"][..], &script, &wishes].concat());
    assert!(printed.code == 0 && printed.err.is_empty(), "{printed:?}");
    let local = of(&[&["local"][..], &script, &wishes, &["--print"]].concat());
    assert_eq!(printed.out, local.out);
    let written = of(&[&["init"][..], &script, &wishes, &["-o", "etl.yaml"]].concat());
    assert_eq!((written.code, written.out.as_str()), (0, ""), "{written:?}");
    assert!(written.err.contains("\ndaskflow local -f etl.yaml\n"), "{written:?}");
    let spaced = of(&[&["init"][..], &script, &["-o", "my etl's.yaml"]].concat());
    let quoted = "\ndaskflow local -f 'my etl'\\''s.yaml'\nkubectl apply -f 'my etl'\\''s.yaml' ";
    assert!(spaced.code == 0 && spaced.err.contains(quoted), "{spaced:?}");
    let text = || std::fs::read_to_string(folder.join("etl.yaml")).unwrap();
    assert_eq!(text(), printed.out);
    let validated = of(&["validate", "-f", "etl.yaml"]);
    assert_eq!((validated.code, validated.out.as_str()), (0, "2 objects checked\n"), "{validated:?}");
    std::fs::write(folder.join("etl.yaml"), "mine").unwrap();
    let again = of(&[&["init"][..], &script, &["-o", "etl.yaml"]].concat());
    assert!(again.code == 1 && again.err.contains("is not overwritten"), "{again:?}");
    assert_eq!(text(), "mine");
}

#[test]
fn what_is_no_script_is_refused_with_what_to_do() {
    let large = "#".repeat(3 * 1024 * 1024);
    let long = "#".repeat(524_289);
    let files = [
        ("flow.py", SCRIPT),
        ("flow.yaml", "kind: Flow\n"),
        ("flow.ipynb", "{}"),
        ("run.sh", "echo\n"),
        ("empty.py", "\n"),
        ("large.py", &large),
        ("long.py", &long),
    ];
    let folder = folder("init_refused", &files);
    std::fs::write(folder.join("latin.py"), b"# \xe9\n").unwrap();
    for (arguments, code, words) in [
        (vec!["nowhere.py"], 1, "nowhere.py cannot be read"),
        (vec!["."], 1, ". is a folder: name a script in it"),
        (vec!["flow.yaml"], 1, "is a manifest already: daskflow local -f flow.yaml runs it"),
        (vec!["flow.ipynb"], 1, "jupyter nbconvert --to script flow.ipynb"),
        (vec!["run.sh"], 1, "run.sh is no script of Python by its name"),
        (vec!["/dev/null"], 1, "/dev/null is no file"),
        (vec!["latin.py"], 1, "is not a text of Unicode in UTF-8"),
        (vec!["empty.py"], 1, "there is nothing to run"),
        (vec!["large.py"], 1, "large.py has 3145728 bytes"),
        (vec!["long.py"], 1, "long.py has 524289 characters"),
        (vec!["flow.py", "-o", "nowhere/flow.yaml"], 1, "nowhere/flow.yaml cannot be written"),
        (vec!["flow.py", "-o", "."], 1, "daskflow: . "),
        (vec!["flow.py", "-p", "count"], 2, "such as count=3"),
        (vec!["flow.py", "--every", "90"], 2, "for '--every <INTERVAL>': `90` lacks a unit"),
        (vec!["flow.py", "--every", "0s"], 2, "write at least 1s"),
        (vec!["flow.py", "--cron", "every day"], 2, "for '--cron <PATTERN>': the cron schedule has 2 fields"),
        (vec!["flow.py", "--every", "1m", "--cron", "@daily"], 2, "cannot be used with"),
        (vec![], 2, "<SCRIPT>"),
    ] {
        let ran = daskflow(&folder, &[["init"].as_slice(), &arguments].concat(), "");
        assert!(ran.code == code && ran.err.contains(words) && ran.out.is_empty(), "{arguments:?}: {ran:?}");
    }
}
