//! What is read in a script, and what is written of it.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::manifest::{Checked, check};

static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// A script that runs when it is asked to, with nothing else.
fn script(text: &str) -> Script<'_> {
    Script {
        file: "flows/dask_flow.py",
        text,
        beside: &[],
        parameters: &NONE,
        arguments: &[],
        workers: 2,
        times: Times::OnDemand,
        installed: None,
    }
}

/// The objects of manifests without a fault.
fn objects(text: &str) -> [Value; 2] {
    let Checked { manifests, faults, .. } = check(text);
    let all = manifests.iter().flat_map(|manifest| &manifest.faults).chain(&faults);
    assert_eq!(all.collect::<Vec<_>>(), Vec::<&crate::manifest::Fault>::new(), "{text}");
    let objects: Vec<Value> = manifests.into_iter().map(|manifest| manifest.object).collect();
    objects.try_into().unwrap()
}

const PREFECT_1: &str =
    "from prefect import task, Flow\nimport datetime\n\nwith Flow('a') as flow:\n    pass\n";

#[test]
fn the_manifests_of_a_script_are_good_and_hold_it() {
    let parameters = json!({"count": 3, "who": "a \"b\"\u{85}", "deep": {"on": [true, null]}});
    let installed = Installed {
        path: "python3".to_owned(),
        version: "3.11.7".to_owned(),
        packages: [("distributed", "2026.8.0"), ("prefect", "1.4.1")]
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .into(),
    };
    let text = write(&Script {
        parameters: parameters.as_object().unwrap(),
        arguments: &["--day".to_owned(), "it's 1\u{85}".to_owned(), "$(A) $$".to_owned()],
        workers: 4,
        times: Times::Cron("0 8 * * 1-5", Some("Europe/Paris")),
        installed: Some(&installed),
        beside: &["tables".to_owned()],
        ..script(PREFECT_1)
    });
    let [cluster, flow] = objects(&text);
    assert!(
        text.contains("put it into the image.\n  # On this machine, from its folder: PYTHONPATH=. "),
        "{text}"
    );
    assert_eq!(cluster["metadata"]["name"], "dask-flow");
    assert_eq!(cluster["spec"]["workers"], json!({"replicas": 4}));
    assert_eq!(flow["metadata"]["name"], "dask-flow");
    assert_eq!(flow["spec"]["cluster"], json!({"ref": {"name": "dask-flow"}}));
    assert_eq!(flow["spec"]["code"], json!({"inline": PREFECT_1}));
    assert_eq!(flow["spec"]["engine"], "Prefect");
    assert_eq!(flow["spec"]["parameters"], parameters);
    assert_eq!(flow["spec"]["args"], json!(["--day", "it's 1\u{85}", "$$(A) $$$$"]));
    let clock = json!({"name": "cron", "cron": "0 8 * * 1-5"});
    assert_eq!(flow["spec"]["schedule"], json!({"timeZone": "Europe/Paris", "clocks": [clock]}));
    for comment in
        ["FROM python:3.11-slim", "pip install distributed==2026.8.0 prefect==1.4.1", "imports tables"]
    {
        assert!(text.contains(comment), "{comment}: {text}");
    }
}

#[test]
fn what_is_not_asked_for_is_not_written() {
    let text = write(&script("print('hello')\n"));
    let [cluster, flow] = objects(&text);
    assert_eq!(cluster["spec"]["workers"], json!({"replicas": 2}));
    assert_eq!(flow["spec"]["engine"], "Auto");
    assert_eq!((&flow["spec"]["schedule"], &flow["spec"]["parameters"]), (&Value::Null, &Value::Null));
    let [_, flow] = objects(&write(&Script { times: Times::Every("1m"), ..script("import dask\n") }));
    assert_eq!(flow["spec"]["schedule"], json!({"clocks": [{"name": "every", "interval": "1m"}]}));
    assert_eq!(flow["spec"]["engine"], "Dask");
}

#[test]
fn a_wish_that_makes_no_sense_is_a_fault_of_its_field() {
    let faults = |times: Times<'_>| {
        let checked = check(&write(&Script { times, ..script("import dask\n") }));
        let faults = checked.manifests.into_iter().flat_map(|manifest| manifest.faults);
        faults.map(|fault| fault.field).collect::<Vec<_>>()
    };
    assert!(faults(Times::Every("often"))[0].starts_with("spec.schedule.clocks[0]"));
    assert!(faults(Times::Cron("0 25 * * *", None))[0].starts_with("spec.schedule.clocks[0]"));
    assert!(faults(Times::Cron("0 2 * * *", Some("Europe/Pariss")))[0].starts_with("spec.schedule"));
}

#[test]
fn every_file_name_makes_a_name() {
    for (file, wanted) in [
        ("dask_flow.py", "dask-flow"),
        ("/srv/My Flows/Nightly.Report.V2.py", "nightly-report-v2"),
        ("2026_etl.py", "flow-2026-etl"),
        ("__init__", "init"),
        ("データ.py", "flow"),
        (".py", "flow"),
        ("a_very_long_name_of_a_script_that_goes_on_and_on.py", "a-very-long-name-of-a-script-that-goes"),
        ("a_very_long_name_of_a_script_that_goe_1.py", "a-very-long-name-of-a-script-that-goe"),
    ] {
        assert_eq!(name(file), wanted, "{file}");
    }
    // A file name may hold anything but a slash.
    objects(&write(&Script { file: "a\nkind: b\u{85}.py", ..script("import dask\n") }));
}

#[test]
fn imports_are_known_from_strings_and_comments() {
    let text = r#"
'''import one'''
# import two
import dask.dataframe as dd, os ; import pandas
from distributed import (
    Client,  # from three import four
    wait,
)
TEXT = "it's" + 'import five\'s' + """
import six
"""
if True: pass
from a.b \
    import c
def f(x=[
1]):
    import seven
    from . import eight
    from .nine import ten
"#;
    let imports = Imports::of(text);
    let words = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&imports.modules), "a dask distributed os pandas seven");
    assert_eq!(words(&imports.always), "a dask distributed os pandas");
    assert_eq!((imports.engine(), imports.generation), (CodeEngine::Dask, None));
}

#[test]
fn the_engine_and_its_generation_are_read() {
    use CodeEngine::{Auto, Dask, Prefect};
    let (first, later) = (Some(Generation::First), Some(Generation::Later));
    for (text, engine, generation) in [
        (PREFECT_1, Prefect, first),
        ("from prefect import Parameter as P", Prefect, first),
        ("import prefect\nfrom prefect.engine.executors import DaskExecutor", Prefect, first),
        ("import prefect\nwith prefect.Flow('x') as f:\n  pass", Prefect, first),
        ("from prefect import flow, task", Prefect, later),
        ("from prefect import(\n  task, flow)", Prefect, later),
        ("from prefect import Flow, flow", Prefect, later),
        ("from prefect_dask import DaskTaskRunner\nimport prefect", Prefect, later),
        ("import prefect\n@prefect.flow\ndef f(): pass", Prefect, later),
        ("import prefect", Prefect, None),
        ("try:\n    import prefect\nexcept ImportError: pass\nimport dask", Auto, None),
        ("from distributed import Client", Dask, None),
        ("import daskflow_things", Auto, None),
        ("", Auto, None),
    ] {
        let imports = Imports::of(text);
        assert_eq!((imports.engine(), imports.generation), (engine, generation), "{text}");
    }
}

#[test]
fn what_a_python_lacks_is_named_with_its_cure() {
    let fit = |text: &str, packages: &[(&str, &str)]| {
        let packages =
            packages.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
        let installed = Installed { path: "/v/python".to_owned(), version: "3.11.7".to_owned(), packages };
        Fit::of("a.py", &Imports::of(text), &installed)
    };
    let missing = |text: &str, packages: &[(&str, &str)], words: &str| match fit(text, packages) {
        Fit::Missing(why) => assert!(why.contains(words), "{why}"),
        other => panic!("{text}: {other:?}"),
    };
    missing(PREFECT_1, &[], "run /v/python -m pip install 'prefect<2'");
    missing("from prefect import flow", &[], "pip install prefect prefect-dask");
    missing("import prefect_dask", &[("prefect", "3.8.8")], "pip install prefect-dask");
    for (text, version) in [(PREFECT_1, "3.8.8"), ("from prefect import flow", "0.13.19")] {
        let Fit::Doubtful(why) = fit(text, &[("prefect", version)]) else { panic!("{text}") };
        assert!(why.contains(version) && why.contains("--python"), "{why}");
    }
    for (text, packages) in [
        (PREFECT_1, [("prefect", "1.4.1")].as_slice()),
        (PREFECT_1, &[("prefect", "0.13.19")]),
        ("from prefect import flow", &[("prefect", "3.8.8")]),
        ("def f():\n    import prefect", &[]),
        ("import dask", &[]),
    ] {
        assert_eq!(fit(text, packages), Fit::Well, "{text}");
    }
}

/// The text that both readers of YAML find at the key.
fn read_again(block: &str) -> [String; 2] {
    let yaml = format!("a:\n    key: {block}");
    let theirs: Value = serde_yaml::from_str(&yaml).unwrap_or_else(|error| panic!("{error}: {yaml:?}"));
    let (documents, broken) = crate::manifest::yaml::documents(&yaml);
    assert_eq!(broken, None, "{yaml:?}");
    let ours = documents[0].root.to_value();
    [ours, theirs].map(|value| value["a"]["key"].as_str().unwrap_or_else(|| panic!("{yaml:?}")).to_owned())
}

#[test]
fn odd_texts_come_back_as_they_were() {
    for text in [
        "a\n",
        "a",
        "a\n\n\n",
        "\n\na\n",
        "  a\nb\n",
        "\ta\n",
        "a\n \n",
        "a\n ",
        "a\r\nb\r\n",
        "a\rb",
        "---\n...\n",
        "# a\n",
        "\u{feff}a\n",
        "a\0b",
        "\u{85}\n",
        "é 😀\n",
        "\n",
        "",
        " ",
        "a: |\n  b\n",
        "%a\n",
        "'\"\\\n",
    ] {
        let block = text::block(text, 6);
        assert!(block.ends_with('\n'), "{block:?}");
        let wanted = text.replace("\r\n", "\n");
        assert_eq!(read_again(&block), [wanted.clone(), wanted], "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_text_comes_back(text in "([ \t]{0,3}([a-z#'\":|-]|\\PC|.){0,4}(\n|\r\n)?){0,5}") {
        let wanted = text.replace("\r\n", "\n");
        prop_assert_eq!(read_again(&text::block(&text, 6)), [wanted.clone(), wanted]);
    }

    #[test]
    fn no_script_is_too_odd_to_be_read(text in "\\PC{0,40}|[import fom.,;()'\"#\\\\\n]{0,60}") {
        Imports::of(&text);
    }
}
