//! The program that a container is on this machine.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, ExecAction, Pod};
use kube::ResourceExt;

use super::environment::variables;
use super::expand::expand;
use super::paths::Paths;
use super::probe::{Kind, Question};
use super::process::Program;
use super::sources::Sources;
use super::volumes;
use crate::local::cure;
use crate::local::machine::Machine;

/// How many bytes of a message the kubelet takes.
const MESSAGE_BYTES_MAX: usize = 4096;
/// How many bytes of a log it takes for one.
const LOG_BYTES_MAX: u64 = 2048;

/// A container as it is started here.
#[derive(Clone, Debug)]
pub struct Started {
    /// What is started.
    pub program: Program,
    /// What is run in it before it is told to end.
    pub before_end: Option<Program>,
    /// What its probes ask.
    pub questions: Vec<Question>,
    /// Where it may leave a message.
    message: PathBuf,
    /// Whether its last words are its message where it leaves none and fails.
    last_words: bool,
}

impl Started {
    /// The program of a pod's container, with its volumes laid out and its message empty.
    ///
    /// # Errors
    ///
    /// Something that it needs is not there: in words.
    pub async fn new(
        machine: &Machine,
        sources: &Sources,
        pod: &Pod,
        container: &Container,
    ) -> Result<Self, String> {
        let folder = machine.pod_folder(&pod.uid().unwrap_or_default());
        let log = machine.log(&pod.namespace().unwrap_or_default(), &pod.name_any());
        let message = folder.join("termination-log");
        let scratch = folder.join("tmp");
        let cannot_write = |error: io::Error| {
            let cure = cure::of(&error, machine.folder.option());
            format!("{} cannot be written: {error}: {cure}", folder.display())
        };
        for folder in log.parent().into_iter().chain([scratch.as_path()]) {
            volumes::make_folder(folder).map_err(cannot_write)?;
        }
        std::fs::write(&message, "").map_err(cannot_write)?;
        let folders = volumes::lay_out(sources, pod, &folder, machine.folder.option()).await?;
        let mounted = volumes::mounts(container, &folders);
        let paths = Paths::new(mounted.into_iter().chain(machine.maps.iter().cloned()));
        let own = variables(sources, pod, container).await?;
        let mut env = defaults(machine, &scratch, &message);
        env.extend(own.iter().map(|(name, value)| (name.clone(), paths.put_into(value))));
        let put = |word: &String| paths.put_into(&expand(word, &own));
        let all = container.command.iter().chain(&container.args).flatten();
        let words = on_machine(all.map(put).collect(), machine)?;
        let folder = match &container.working_dir {
            Some(folder) => PathBuf::from(paths.put_into(folder)),
            None => PathBuf::from("."),
        };
        let program = Program { words, env, folder, log };
        // Commands of hooks and probes are run as they are written: variables are not expanded in them.
        let within = |exec: Option<&ExecAction>, log: &Path| {
            let words = exec.and_then(|exec| exec.command.as_ref());
            let words = words.map(|words| words.iter().map(|word| paths.put_into(word)).collect());
            let words = words.map(|words| on_machine(words, machine)).transpose()?;
            Ok::<_, String>(words.map(|words| Program { words, log: log.to_owned(), ..program.clone() }))
        };
        let step = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let before_end = within(step.and_then(|step| step.exec.as_ref()), &program.log)?;
        let mut questions = Vec::new();
        for kind in Kind::ALL {
            let exec = kind.probe(container).and_then(|probe| probe.exec.as_ref());
            // As in Kubernetes, what a probe writes is not in the log.
            let command = within(exec, Path::new("/dev/null"))?;
            questions.extend(Question::of(kind, container, command));
        }
        let last_words = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        Ok(Self { program, before_end, questions, message, last_words })
    }

    /// The end of the program's log.
    pub fn last_words(&self) -> String {
        tail(&self.program.log).unwrap_or_default()
    }

    /// What the program left as a message, if it ended with this code.
    pub fn message(&self, code: i32) -> String {
        let message = std::fs::read(&self.message).unwrap_or_default();
        if message.is_empty() && code != 0 && self.last_words {
            return self.last_words();
        }
        String::from_utf8_lossy(message.get(..MESSAGE_BYTES_MAX).unwrap_or(&message)).into_owned()
    }
}

/// The end of a log.
fn tail(log: &Path) -> io::Result<String> {
    let mut log = File::open(log)?;
    let begin = log.metadata()?.len().saturating_sub(LOG_BYTES_MAX);
    log.seek(SeekFrom::Start(begin))?;
    let mut words = Vec::new();
    log.take(LOG_BYTES_MAX).read_to_end(&mut words)?;
    Ok(String::from_utf8_lossy(&words).into_owned())
}

/// What each program is given, if its container says nothing else.
fn defaults(machine: &Machine, scratch: &Path, message: &Path) -> Vec<(String, String)> {
    let of_all = machine.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone());
    let path =
        of_all.unwrap_or_else(|| std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned());
    let bin = machine.python.path.parent().unwrap_or(Path::new("/usr/bin"));
    // Where Dask spills; else it would be the present directory.
    let scratch = ("DASK_TEMPORARY_DIRECTORY".to_owned(), scratch.display().to_string());
    let mut all = vec![scratch];
    all.extend(machine.env.iter().cloned());
    // Commands of its packages are found as they are in an image.
    all.push(("PATH".to_owned(), format!("{}:{path}", bin.display())));
    all.push(("DASKFLOW_TERMINATION_LOG".to_owned(), message.display().to_string()));
    all
}

/// A command with this machine's Python in the place of the image's.
fn on_machine(mut words: Vec<String>, machine: &Machine) -> Result<Vec<String>, String> {
    match words.first_mut() {
        Some(first) if is_python_of_image(first.as_str()) => {
            *first = machine.python.path.display().to_string();
        }
        Some(_) => {}
        None => return Err("what its image would start is not known here: write a command".to_owned()),
    }
    Ok(words)
}

/// Whether a command is a Python of the image: `python`, `python3` or `python3.N`, by its name or by a path
/// that is not there on this machine.
fn is_python_of_image(command: &str) -> bool {
    let path = Path::new(command);
    let name = if path.is_absolute() { path.file_name().and_then(OsStr::to_str) } else { Some(command) };
    let is_python = name.and_then(|name| name.strip_prefix("python")).is_some_and(|version| {
        let minor = version.strip_prefix("3.").unwrap_or("0");
        let is_number = !minor.is_empty() && minor.bytes().all(|digit| digit.is_ascii_digit());
        is_number && (version.starts_with("3.") || ["", "3"].contains(&version))
    });
    is_python && !(path.is_absolute() && path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_of_an_image_are_known() {
        for command in ["python", "python3", "python3.12", "/nowhere/bin/python", "/nowhere/bin/python3.9"] {
            assert!(is_python_of_image(command), "{command}");
        }
        for command in ["pythonic", "python2", "python3.", "python3.x", "dask", "bin/python", "/nowhere/dask"]
        {
            assert!(!is_python_of_image(command), "{command}");
        }
        let folder = std::env::temp_dir().join(format!("daskflow-python-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let python = folder.join("python3");
        std::fs::write(&python, "").unwrap();
        assert!(!is_python_of_image(python.to_str().unwrap()), "it is there");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_tail_of_a_log_is_read_and_no_more() {
        let log = std::env::temp_dir().join(format!("daskflow-tail-{}.log", std::process::id()));
        for (text, wanted) in
            [("short".to_owned(), "short".to_owned()), ("ab".repeat(2000), "ab".repeat(1024))]
        {
            std::fs::write(&log, text).unwrap();
            assert_eq!(tail(&log).unwrap(), wanted);
        }
        std::fs::remove_file(&log).unwrap();
        assert!(tail(&log).is_err());
    }
}
