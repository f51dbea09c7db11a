//! What `docs/get-started.md` shows beside what it tells to do: the change of each script gives the whole
//! script, and its Dockerfiles name the versions that the tests run.

use std::fs;

use super::pages::{blocks, files_of, root};

fn page() -> String {
    fs::read_to_string(root().join("docs/get-started.md")).unwrap()
}

fn of_language<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    blocks(page).into_iter().filter(|block| block.language == language).map(|block| block.text).collect()
}

/// The lines that a diff leaves, without those that are empty.
fn after(diff: &str) -> Vec<&str> {
    let kept = diff.lines().filter(|line| !line.starts_with('-'));
    kept.map(|line| line.get(1..).unwrap_or_default().trim_end()).filter(|line| !line.is_empty()).collect()
}

/// Whether all of these lines are in the text, in this order.
fn are_in_order(lines: &[&str], text: &str) -> Result<(), String> {
    let mut rest = text.lines();
    lines.iter().try_for_each(|line| {
        let is_it = |other: &str| other.trim() == line.trim();
        if rest.any(is_it) { Ok(()) } else { Err(format!("{line:?} is not there, or not in its order")) }
    })
}

#[test]
fn each_change_gives_the_whole_script() {
    let page = page();
    let scripts: Vec<_> = files_of(&page).into_iter().filter(|(name, _)| name.ends_with("py")).collect();
    let diffs = of_language(&page, "diff");
    assert_eq!(
        scripts.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["squares.py", "report.py", "words.py"]
    );
    assert_eq!(diffs.len(), scripts.len());
    for (diff, (name, script)) in diffs.iter().zip(&scripts) {
        are_in_order(&after(diff), script).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert!(diff.lines().any(|line| line.starts_with('-')), "{name}: nothing changes");
    }
    // Two of them show the script from the first line to the last.
    for (diff, (name, script)) in diffs.iter().zip(&scripts).take(2) {
        let whole: Vec<&str> = script.lines().skip(1).filter(|line| !line.is_empty()).collect();
        assert_eq!(after(diff), whole, "{name}");
    }
}

#[test]
fn a_change_that_does_not_fit_is_found() {
    assert_eq!(after(" a\n-b\n+c\n \n\n d"), ["a", "c", "d"]);
    assert!(are_in_order(&["a", "c"], "a\nb\nc").is_ok());
    assert!(are_in_order(&["c", "a"], "a\nb\nc").is_err());
    assert!(are_in_order(&["d"], "a\nb\nc").is_err());
}

#[test]
fn dockerfiles_have_the_versions_that_the_tests_run() {
    let page = page();
    let images = ["flow-prefect3", "flow-prefect1", "dask"];
    let dockerfiles = of_language(&page, "dockerfile");
    assert_eq!(dockerfiles.len(), images.len());
    for (dockerfile, image) in dockerfiles.iter().zip(images) {
        let pins = fs::read_to_string(root().join(format!("tests/images/{image}/requirements.txt"))).unwrap();
        let pinned: Vec<&str> = dockerfile.split_whitespace().filter(|word| word.contains("==")).collect();
        assert!(pinned.iter().any(|pin| pin.starts_with("distributed==")), "{image}: {pinned:?}");
        for pin in pinned {
            assert!(pins.lines().any(|line| line == pin), "{image}: {pin} is not what the tests run");
        }
        assert!(dockerfile.contains("\nUSER 1000\n"), "{image}: the user of an image is not root");
    }
}

/// Names such as `DASKFLOW_RUN` in a text.
fn variables(text: &str) -> Vec<&str> {
    let is_part = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    let words = text.split(|letter: char| !is_part(letter));
    words.filter(|word| word.strip_prefix("DASKFLOW_").is_some_and(|rest| !rest.is_empty())).collect()
}

#[test]
fn every_variable_of_a_script_is_documented() {
    let page = fs::read_to_string(root().join("docs/parameters.md")).unwrap();
    let mut count = 0;
    for file in ["src/plan/pods/runner.rs", "src/plan/pods/mounts.rs"] {
        for name in variables(&fs::read_to_string(root().join(file)).unwrap()) {
            assert!(page.contains(&format!("`{name}`")), "docs/parameters.md does not have {name} of {file}");
            count += 1;
        }
    }
    assert!(count >= 11, "only {count} variables were found");
    assert_eq!(variables("env(\"DASKFLOW_RUN\"), DASKFLOW_ and A_DASKFLOW_X"), ["DASKFLOW_RUN"]);
}

/// Nothing is published, so a chart that is installed as a page says must be given an image.
#[test]
fn every_installation_names_an_image() {
    let mut count = 0;
    for page in super::pages::pages() {
        let commands = blocks(&page.text).into_iter().flat_map(super::pages::commands);
        for command in commands.filter(|command| command.key.starts_with("helm install")) {
            assert!(command.key.contains("image.repository="), "{}: {}", page.name, command.key);
            count += 1;
        }
        let text = page.text.to_lowercase().replace('\n', " ");
        for words in ["the published image", "the released image", "download the binary"] {
            assert!(!text.contains(words), "{} speaks of {words}", page.name);
        }
        for (place, _) in text
            .match_indices("install.yaml | kubectl")
            .chain(text.match_indices("-f manifests/install.yaml"))
        {
            let before = &text[..place];
            assert!(
                before.ends_with("manifests/")
                    && before.contains("ghcr.io/daskflow/daskflow:#registry.example"),
                "{}",
                page.name
            );
        }
    }
    assert!(count >= 4, "only {count} installations were found");
}
