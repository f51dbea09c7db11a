//! `daskflow migrate`

use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::files::{Files, Source};
use super::out::print;
use super::output::{FileFault, fail};
use crate::api::GROUP;
use crate::manifest::migration::{Migration, migrate};
use crate::manifest::{self, Fault, kustomization};
use crate::view::counted;

/// The manifests are printed on standard output, and what is wrong on standard error: one line for each
/// fault, with its file and line, and one with the number of objects.
///
/// Give everything that belongs together at once: a `DaskWorkerGroup` and a `DaskAutoscaler` become a part of
/// their `DaskCluster`. Objects of other kinds stay as they are, and are not printed.
///
/// Exit code 0: everything is printed. 1: something cannot be moved, a file cannot be read, or there is no
/// object of dask-kubernetes. 2: the command line is wrong.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut is_complete = true;
    let mut sources: Vec<Source> = Vec::new();
    for source in arguments.files.read() {
        match source {
            Ok(source) => sources.push(source),
            Err(error) => {
                fail(&error);
                is_complete = false;
            }
        }
    }
    let kustomized = take_kustomized(&mut sources);
    let texts: Vec<&str> = sources.iter().map(|source| source.text.as_str()).collect();
    let migration = migrate(&texts);
    let printed = print(migration.text.as_bytes());
    // That nothing listens there does not change what was printed.
    let _ = say(&migration, (&sources, &kustomized));
    let has_faults = !kustomized.is_empty() || migration.faults.iter().any(|(_, fault)| !fault.hint);
    if !is_complete || has_faults || migration.theirs == 0 { ExitCode::FAILURE } else { printed }
}

/// Takes out what a kustomization changes, since it would be written as it was before, and says so of each
/// kustomization.
fn take_kustomized(sources: &mut Vec<Source>) -> Vec<FileFault> {
    let (mut faults, mut folders) = (Vec::new(), Vec::new());
    for source in sources.iter().filter(|source| !source.is_input()) {
        let found = manifest::check(&source.text).foreign;
        for (line, object) in found.into_iter().filter(|(_, object)| kustomization::is_one(object)) {
            let unread = kustomization::unread(&object).join(", ");
            if unread.is_empty() {
                continue;
            }
            let folder = Path::new(&source.name).parent().unwrap_or(Path::new("")).to_owned();
            let resources = object.get("resources").and_then(Value::as_array).into_iter().flatten();
            let reached = resources.filter_map(Value::as_str).map(|path| plain(&folder.join(path)));
            folders.extend(reached);
            let advice = kustomization::advice(&folder.display().to_string(), "migrate");
            let fault = Fault::of_text(line, format!("{unread}: {advice}"));
            faults.push(FileFault { file: source.name.clone(), fault });
            folders.push(plain(&folder));
        }
    }
    let is_reached = |source: &Source| {
        let path = plain(Path::new(&source.name));
        // Of the folder where one stands are all files that are given by a way down from there.
        let is_below = |folder: &PathBuf| {
            if folder.as_os_str().is_empty() {
                path.is_relative() && !path.starts_with("..")
            } else {
                path.starts_with(folder)
            }
        };
        !source.is_input() && folders.iter().any(is_below)
    };
    for source in sources.iter().filter(|source| is_reached(source)) {
        if !faults.iter().any(|fault| fault.file == source.name) {
            let message = "left out, as a kustomization changes it".to_owned();
            faults.push(FileFault { file: source.name.clone(), fault: Fault::of_text(1, message) });
        }
    }
    sources.retain(|source| !is_reached(source));
    faults
}

/// A path without `.` and without ways up that lead back.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => _ = plain.pop(),
            part => plain.push(part),
        }
    }
    plain
}

/// What was found where nothing of theirs was, and how to find it.
fn nothing(migration: &Migration) -> String {
    let mut words = "there is no object of dask-kubernetes in what was given".to_owned();
    let kinds: Vec<String> =
        migration.kinds.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
    if !kinds.is_empty() {
        words = format!("{words}, but {}", kinds.join(", "));
    }
    let is_of_others = migration.kinds.keys().any(|kind| !kind.ends_with(GROUP));
    if is_of_others {
        return words;
    }
    format!(
        "{words}; where both are installed, `kubectl get daskclusters` prints those of daskflow: write \
         `kubectl get daskclusters.kubernetes.dask.org -o yaml`"
    )
}

fn say(migration: &Migration, (sources, kustomized): (&[Source], &[FileFault])) -> io::Result<()> {
    let mut out = io::stderr().lock();
    for fault in kustomized {
        writeln!(out, "{fault}")?;
    }
    for (text, fault) in &migration.faults {
        let file = sources.get(*text).map(|source| source.name.clone()).unwrap_or_default();
        writeln!(out, "{}", FileFault { file, fault: fault.clone() })?;
    }
    let faults = migration.faults.iter().filter(|(_, fault)| !fault.hint).count() + kustomized.len();
    // What cannot be read may have some.
    if migration.theirs == 0 && faults > 0 {
        return Ok(());
    }
    if migration.theirs == 0 {
        return writeln!(out, "daskflow: {}", nothing(migration));
    }
    let mut words = vec![
        format!("{} of dask-kubernetes", counted(migration.theirs, "object")),
        format!("{} written", counted(migration.ours, "object")),
    ];
    if migration.others > 0 {
        words.push(format!("{} of other kinds passed over", migration.others));
    }
    if faults > 0 {
        words.push(counted(faults, "fault"));
    }
    writeln!(out, "{}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let source = |(name, text): &(&str, &str)| Source { name: (*name).into(), text: (*text).into() };
        let mut sources: Vec<Source> = files.iter().map(source).collect();
        let faults = take_kustomized(&mut sources);
        let names = sources.into_iter().map(|source| source.name).collect();
        (names, faults.into_iter().map(|fault| fault.file).collect())
    }

    #[test]
    fn what_a_kustomization_changes_is_left_out_where_it_is_and_nothing_else() {
        let changes = "resources: [../../base, more.yaml]\nnamePrefix: prod-\n";
        let names = ["deploy/base/a.yaml", "deploy/overlays/prod/more.yaml", "deploy/other.yaml"];
        let overlay = "deploy/overlays/prod/kustomization.yaml";
        let files = [(names[0], ""), (names[1], ""), (names[2], ""), (overlay, changes)];
        let (kept, said) = left(&files);
        assert_eq!(kept, ["deploy/other.yaml"]);
        assert_eq!(said, [overlay, names[0], names[1]]);
        let here = [("kustomization.yaml", "namePrefix: a-\n"), ("../jobs/old.yaml", ""), ("b.yaml", "")];
        assert_eq!(left(&here).0, ["../jobs/old.yaml"]);
        assert_eq!(left(&[("kustomization.yaml", "resources: [b.yaml]\n"), ("b.yaml", "")]).0.len(), 2);
    }
}
