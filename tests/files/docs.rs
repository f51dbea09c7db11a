//! What the documentation says, held against the program: reason words exist, manifests are what the API
//! server and the operator take, links lead somewhere, commands that need no cluster work, and of each other
//! one it is known who tries it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::pages::{Entry, Way, blocks, commands, entries, files_of, pages, root, way_of};
use super::program;
use daskflow::api::Reason;
use daskflow::manifest;
use serde_json::{Value, json};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below `folder` of this kind, at any depth.
fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.flatten().map(|entry| entry.path());
    let found = paths
        .flat_map(|path| if path.is_dir() { files(&path, kind) } else { vec![path] })
        .collect::<Vec<_>>();
    found.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == kind)).collect()
}

/// The text of the YAML blocks of a page.
fn yaml_blocks(page: &str) -> Vec<&str> {
    let blocks = blocks(page).into_iter().filter(|block| block.language == "yaml");
    blocks.map(|block| block.text).collect()
}

/// A whole object of a part of a schedule, as docs/schedules.md shows them; whole objects stay as they are.
fn completed(page: &str, yaml: &str) -> String {
    if page != "docs/schedules.md" || yaml.contains("apiVersion:") {
        return yaml.to_owned();
    }
    let mut schedule: Value = serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{page}: {error}"));
    let fields = schedule.as_object_mut().unwrap();
    let clock = match fields.remove("rrule") {
        Some(rrule) => json!({"name": "a", "rrule": rrule}),
        None => json!({"name": "a", "interval": "1h"}),
    };
    fields.insert("clocks".to_owned(), json!([clock]));
    let spec = json!({"cluster": {"ref": {"name": "a"}}, "code": {"path": "/a.py"}, "schedule": schedule});
    json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "a"}, "spec": spec})
        .to_string()
}

/// What is wrong with the manifests in `yaml`, and how many objects of ours there are. It is what
/// `daskflow validate` says: the schemas and CEL rules of the CRDs, and the planner.
fn faults(yaml: &str, place: &str) -> (usize, Vec<String>) {
    let checked = manifest::check(yaml);
    let count = checked.manifests.len();
    let of_objects = checked.manifests.into_iter().flat_map(|manifest| manifest.faults);
    let faults = of_objects.chain(checked.faults);
    (count, faults.map(|fault| format!("{place}: {}: {}", fault.field, fault.message)).collect())
}

#[test]
fn manifests_are_as_the_api_server_wants_them() {
    let (mut count, mut wrong) = (0, Vec::new());
    let mut check = |yaml: &str, place: &str| {
        let (more, faults) = faults(yaml, place);
        count += more;
        wrong.extend(faults);
    };
    for path in files(&root().join("manifests/samples"), "yaml") {
        if path.file_name().is_some_and(|name| name != "kustomization.yaml") {
            check(&read(&path), &path.display().to_string());
        }
    }
    for page in pages() {
        for block in yaml_blocks(&page.text) {
            check(&completed(&page.name, block), &page.name);
        }
    }
    assert!(count >= 25, "only {count} objects were found");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn faults_of_manifests_are_found() {
    let object = |spec: &str| {
        format!("apiVersion: daskflow.dev/v1alpha1\nkind: FlowRun\nmetadata: {{name: a}}\nspec: {spec}")
    };
    let of = |yaml: &str| faults(yaml, "x").1;
    assert!(of(&object("{flow: a, cancle: true}")).iter().any(|fault| fault.contains("cancle")));
    assert_eq!(of(&object("{flow: a, cancel: true}")), Vec::<String>::new());
    let broken = completed("docs/schedules.md", "rrule: |\n  RRULE:FREQ=SOMETIMES");
    assert!(of(&broken).iter().any(|fault| fault.contains("spec.schedule.clocks")), "{:?}", of(&broken));
    let filter = completed("docs/schedules.md", "only:\n  days: [Someday]");
    assert!(of(&filter).iter().any(|fault| fault.contains("spec.schedule.only")), "{:?}", of(&filter));
}

/// The words in the columns called Reason.
#[test]
fn tables_of_reasons_have_words_that_exist() {
    let mut count = 0;
    let page = "docs/troubleshooting.md";
    let text = read(&root().join(page));
    let is_table = |line: &&str| line.starts_with("| Reason |") || line.starts_with("| Phase | Reason |");
    let mut lines = text.lines();
    while let Some(head) = lines.find(is_table) {
        let column = head.split('|').position(|cell| cell.trim() == "Reason").unwrap_or_default();
        for row in lines.by_ref().skip(1).take_while(|line| line.starts_with('|')) {
            let cell = row.split('|').nth(column).unwrap_or_default();
            for word in cell.split('`').skip(1).step_by(2) {
                assert!(Reason::from_word(word).is_some(), "{page}: {word} is no reason");
                count += 1;
            }
        }
    }
    assert!(count > 40, "only {count} reasons were found");
}

#[test]
fn every_reason_is_in_troubleshooting() {
    let text = read(&root().join("docs/troubleshooting.md"));
    for reason in Reason::ALL {
        let word = reason.as_str();
        assert!(
            text.contains(&format!("`{word}`")),
            "docs/troubleshooting.md does not say what {word} means"
        );
    }
}

#[test]
fn field_reference_is_up_to_date() {
    let made = program::daskflow(root(), &["generate", "crds", "--markdown"], "");
    assert_eq!(made.code, 0, "{}", made.err);
    // Not assert_eq: two whole pages are no message.
    assert!(
        made.out == read(&root().join("docs/reference.md")),
        "docs/reference.md is old: run `make generate`"
    );
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .collect::<String>();
    kept.replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let path = root().join(&page.name);
        for rest in page.text.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            if target.starts_with("https://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let is_there = file.exists()
                && (heading.is_empty()
                    || read(&file).lines().any(|line| {
                        line.starts_with('#') && anchor(line.trim_start_matches(['#', ' '])) == heading
                    }));
            wrong.extend((!is_there).then(|| format!("{}: {target}", page.name)));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// The files that a patch changes, and does not make, but for those in which it only names new modules.
fn places(patch: &str) -> Vec<&str> {
    let is_of_modules =
        |line: &str| ["mod ", "pub mod ", "pub use "].iter().any(|word| line.starts_with(word));
    let changes = patch.split("diff --git a/").skip(1).filter(|change| !change.contains("\nnew file mode "));
    let tells = |change: &&str| {
        let added =
            change.lines().filter(|line| !line.starts_with("+++")).filter_map(|line| line.strip_prefix('+'));
        !added.into_iter().all(is_of_modules)
    };
    changes.filter(tells).filter_map(|change| change.split(' ').next()).collect()
}

#[test]
fn every_example_of_a_change_applies() {
    let folders = ["docs/examples", "tests/laws/mutations"];
    let patches: Vec<_> = folders.iter().flat_map(|folder| files(&root().join(folder), "patch")).collect();
    assert!(patches.len() > 10, "{patches:?}");
    for patch in patches {
        let applied = Command::new("git").args(["apply", "--check"]).arg(&patch).current_dir(root()).output();
        let applied = applied.unwrap();
        let said = String::from_utf8_lossy(&applied.stderr);
        assert!(
            applied.status.success(),
            "docs/contributing-tour.md says how it is made anew: {}: {said}",
            patch.display()
        );
    }
}

#[test]
fn a_new_kind_touches_four_places() {
    let patch = read(&root().join("docs/examples/adding-a-kind.patch"));
    let tables =
        ["src/api/kind.rs", "src/operator/caches/mod.rs", "src/operator/rights.rs", "src/plan/targets.rs"];
    assert_eq!(places(&patch), tables);
}

#[test]
fn every_command_says_how_it_is_tried() {
    let entries = entries();
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for page in pages() {
        for command in blocks(&page.text).into_iter().flat_map(commands) {
            if way_of(&entries, &page.name, &command).is_none() {
                wrong.push(format!("not in tests/docs/commands.txt: [{}] {}", page.name, command.key));
            }
            used.insert((page.name.clone(), command.key));
        }
    }
    let exists = |entry: &&Entry| root().join(&entry.page).exists();
    for entry in entries.iter().filter(exists) {
        if !used.contains(&(entry.page.clone(), entry.key.clone())) {
            wrong.push(format!("spare in tests/docs/commands.txt: [{}] {}", entry.page, entry.key));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(used.len() > 40, "only {} commands were found", used.len());
}

#[test]
fn commands_are_told_apart() {
    let page = "\n```sh\na \\\n  --b  # why\n# alone\nfor x in 1; do\n  c $x\ndone\n```\n\n```console\n$ d\nwhat it says\n```\n\n```yaml\ne: 1\n```\n";
    let keys: Vec<_> = blocks(page).into_iter().flat_map(commands).map(|command| command.key).collect();
    assert_eq!(keys, ["a --b", "for x in 1; do c $x done", "d"]);
}

/// A folder with what the commands that need no cluster read and write.
fn folder_of_local_commands() -> PathBuf {
    let author = read(&root().join("docs/flow-author.md"));
    let begin = read(&root().join("docs/get-started.md"));
    let old = read(&root().join("docs/from-dask-kubernetes.md"));
    let flow = yaml_blocks(&author).into_iter().find(|yaml| yaml.contains("kind: Flow\n")).unwrap();
    let copies = [
        "Cargo.toml",
        "Dockerfile",
        "charts/daskflow/Chart.yaml",
        "manifests/kustomize/overlays/production/kustomization.yaml",
        "crds/daskclusters.yaml",
        "crds/flows.yaml",
        "crds/flowruns.yaml",
        "crds/flowbackfills.yaml",
    ];
    let copies = copies.map(|name| (name, read(&root().join(name))));
    let mut files = vec![("nightly.yaml", flow), ("flows/nightly.yaml", flow)];
    files.extend(files_of(&begin));
    files.extend(files_of(&old).into_iter().flat_map(|(name, text)| [(name, text), ("old/a.yaml", text)]));
    files.extend(copies.iter().map(|(name, text)| (*name, text.as_str())));
    program::folder("docs_commands", &files)
}

/// Commands of a page run in one shell, as a reader would, and what a page shows is what they print.
#[test]
fn commands_that_need_no_cluster_work() {
    let (folder, entries) = (folder_of_local_commands(), entries());
    let programs = Path::new(env!("CARGO_BIN_EXE_daskflow")).parent().unwrap();
    #[allow(clippy::disallowed_methods, reason = "the shell finds its programs by it")]
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut count = 0;
    for page in pages() {
        let (mut script, mut shown) = (String::new(), String::new());
        for block in blocks(&page.text) {
            for command in commands(block) {
                if way_of(&entries, &page.name, &command) != Some(Way::Local) {
                    continue;
                }
                let is_shown = block.language == "console";
                let print = if is_shown { "" } else { " >&2" };
                writeln!(script, "{{ {}\n}}{print}", command.text).unwrap();
                if is_shown {
                    shown.push_str(block.text.split_once('\n').map_or("", |(_, output)| output));
                    shown.push('\n');
                }
                count += 1;
            }
        }
        let output = Command::new("bash")
            .args(["-euxo", "pipefail", "-c", &script])
            .current_dir(&folder)
            .env("PATH", &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", page.name);
        assert_eq!(String::from_utf8_lossy(&output.stdout), shown, "{}: {said}", page.name);
    }
    assert!(count >= 8, "only {count} commands were run");
    let released = folder.join("crds/released/v0.1.0/flows.yaml");
    assert!(released.exists(), "{}", released.display());
}
