//! Options of Dask's programs, as fields.

use std::collections::BTreeMap;

use super::command::{Given, Program, Start};
use super::pod::TLS;
use super::remark::Notes;
use crate::api::WorkersSpec;
use crate::plan::pods::worker::CONTAINER;
use crate::plan::pods::written::{SCHEDULER_ADDRESS, WORKER_NAME};

/// Ports of the scheduler, and of a worker's web pages.
pub(super) const COMM: u16 = 8786;
pub(super) const PAGES: u16 = 8787;
pub(super) const WORKER_PAGES: u16 = 8788;

/// What is read of the options of a program beside the fields that they become.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Options that have no field.
    pub args: Vec<String>,
    /// The port at which it listened, if it was another one.
    pub port: Option<i32>,
    /// The port of its web pages, if it was another one.
    pub moved: Option<i32>,
}

/// Reads the options of a scheduler, which stand in `field`.
pub(super) fn of_scheduler(program: &Program, field: &str, notes: &mut Notes) -> Read {
    let mut read = Read::default();
    for given in &program.options {
        let value = given.value.as_deref().unwrap_or_default();
        let mut left_out = |why: &str| {
            let message = format!("{} is left out: {why}", given.words.join(" "));
            notes.changed(field, "", message);
        };
        match given.name.as_str() {
            "--port" if value == COMM.to_string() => {}
            "--port" => {
                read.port = value.parse().ok();
                left_out(&format!("the scheduler listens at port {COMM}"));
            }
            "--host" if ["0.0.0.0", "::", "[::]"].contains(&value) => {}
            "--host" => left_out("the scheduler listens at all addresses of its pod"),
            "--dashboard-address" => read.moved = pages(given, PAGES, field, notes),
            "--protocol" => protocol(value, field, notes),
            "--idle-timeout" => {
                let message =
                    "Dask's own idle timeout ends the process, and its pod starts again: use idle.after";
                notes.changed(field, "args", message);
                read.args.extend(given.words.clone());
            }
            name if is_tls(name) => notes.refused(field, TLS),
            _ => read.args.extend(given.words.clone()),
        }
    }
    read
}

/// Reads the options of a worker, which stand in `field`, into the fields of its group.
pub(super) fn of_worker(
    program: &Program,
    field: &str,
    workers: &mut WorkersSpec,
    notes: &mut Notes,
) -> Option<i32> {
    let mut moved = None;
    for given in &program.options {
        let value = given.value.as_deref().unwrap_or_default();
        let mut left_out = |why: &str| {
            let message = format!("{} is left out: {why}", given.words.join(" "));
            notes.changed(field, "", message);
        };
        match given.name.as_str() {
            "" if value.contains(SCHEDULER_ADDRESS) => {}
            "" | "--scheduler-file" => left_out("the operator gives the address of the scheduler"),
            "--name" if value.contains(WORKER_NAME) => {}
            "--name" => left_out("a worker is called as its pod"),
            "--nworkers" | "--nprocs" if value == "1" => {}
            "--nworkers" | "--nprocs" => notes.refused(field, several(given)),
            "--dashboard-address" => moved = pages(given, WORKER_PAGES, field, notes),
            "--protocol" => protocol(value, field, notes),
            "--nanny" => workers.nanny = Some(true),
            "--no-nanny" => workers.nanny = Some(false),
            name if is_tls(name) => notes.refused(field, TLS),
            _ if read_value(given, workers).is_some() => {}
            _ => workers.args.extend(given.words.clone()),
        }
    }
    moved
}

/// Reads an option whose value is a field of a group; none where the field cannot have the value.
fn read_value(given: &Given, workers: &mut WorkersSpec) -> Option<()> {
    let value = given.value.as_deref()?;
    match given.name.as_str() {
        "--nthreads" => {
            let threads = value.parse().ok().filter(|threads| (1..=1024).contains(threads))?;
            workers.threads = Some(threads);
        }
        "--memory-limit" if is_memory(value) => workers.memory = Some(value.to_owned()),
        "--resources" => workers.dask_resources = dask_resources(value)?,
        _ => return None,
    }
    Some(())
}

/// Whether the field `memory` takes it.
fn is_memory(text: &str) -> bool {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text.strip_prefix(number).unwrap_or_default();
    let is_number = number.parse::<f64>().is_ok()
        && number.starts_with(|digit: char| digit.is_ascii_digit())
        && number.ends_with(|digit: char| digit.is_ascii_digit());
    let rest = unit.strip_prefix(['k', 'M', 'G', 'T']);
    let is_unit = ["", "B"].contains(&unit) || rest.is_some_and(|rest| ["", "i", "B", "iB"].contains(&rest));
    is_number && is_unit && number.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
}

/// `GPU=1 MEMORY=16e9`, with spaces or commas between, as Dask reads it.
fn dask_resources(text: &str) -> Option<BTreeMap<String, f64>> {
    let pairs = text.split([' ', ',']).filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, amount) = pair.split_once('=')?;
        let amount: f64 = amount.parse().ok()?;
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
        let is_name = (1..=63).contains(&name.len()) && name.chars().all(is_letter);
        (is_name && amount.is_finite() && amount >= 0.0).then(|| (name.to_owned(), amount))
    };
    pairs.map(pair).collect()
}

/// Reads where the web pages are. They have a fixed port here; returned is another one that they had.
fn pages(given: &Given, ours: u16, field: &str, notes: &mut Notes) -> Option<i32> {
    let value = given.value.as_deref().unwrap_or_default();
    let port = value.rsplit(':').next()?.parse::<i32>().ok();
    if port == Some(i32::from(ours)) {
        return None;
    }
    let message = format!("{} is left out: the probe and the Service use port {ours}", given.words.join(" "));
    notes.changed(field, "", message);
    port
}

fn protocol(value: &str, field: &str, notes: &mut Notes) {
    match value.trim_end_matches("://") {
        "tcp" => {}
        "tls" => notes.refused(field, TLS),
        other => {
            let message =
                format!("--protocol {other}: the operator connects by TCP or TLS only: leave it out");
            notes.refused(field, message);
        }
    }
}

fn is_tls(name: &str) -> bool {
    name.starts_with("--tls-")
}

fn several(given: &Given) -> String {
    format!(
        "{}: a pod has one worker, so that each can be removed alone: write 1, and more replicas with the resources of one",
        given.words.join(" ")
    )
}

/// What a command of a worker's own lacks for the operator: added where it is a program's, refused or
/// remarked on where it is a text for a shell.
pub(super) fn complete(start: &mut Start, field: &str, notes: &mut Notes) {
    let has = |start: &Start, text: &str| start.words().any(|word| word.contains(text));
    let name = format!("$({WORKER_NAME})");
    let pages = format!(":{WORKER_PAGES}");
    if start.is_cuda_worker() || start.program(CONTAINER).is_some() {
        let options: [(&str, &str); 2] = [("--name", &name), ("--dashboard-address", &pages)];
        for (option, value) in options {
            if !has(start, option) {
                start.push(&[option, value]);
            }
        }
    }
    if !has(start, WORKER_NAME) {
        let message =
            format!("the worker has to be called as its pod, or it is not counted: add --name {name}");
        notes.refused(field, message);
    }
    if !has(start, "--dashboard-address") {
        let message = format!(
            "the readiness probe asks at port {WORKER_PAGES}: without --dashboard-address {pages} in this command the pods are \
             never READY; the cluster counts them all the same"
        );
        notes.changed(field, "template", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_the_field_takes() {
        for text in ["4GB", "4Gi", "512Mi", "1.5G", "1073741824", "100kB", "0.5"] {
            assert!(is_memory(text), "{text}");
        }
        for text in ["auto", "4gb", "1e9", ".5", "5.", "4 GB", "", "G", "nan", "4GiBs"] {
            assert!(!is_memory(text), "{text}");
        }
    }

    #[test]
    fn resources_are_read_as_dask_reads_them() {
        let wanted: BTreeMap<String, f64> = [("GPU".to_owned(), 1.0), ("MEMORY".to_owned(), 16e9)].into();
        assert_eq!(dask_resources("GPU=1 MEMORY=16e9"), Some(wanted.clone()));
        assert_eq!(dask_resources("GPU=1,MEMORY=16e9"), Some(wanted));
        for text in ["GPU", "GPU=x", "GPU=-1", "a b=1", "GPU=inf"] {
            assert_eq!(dask_resources(text), None, "{text}");
        }
    }
}
