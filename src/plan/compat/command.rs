//! The command of a container: which program of Dask it starts, and with which options.

/// Options of the worker and the scheduler that have no value.
const FLAGS: [&str; 17] = [
    "--bokeh",
    "--dashboard",
    "--help",
    "--jupyter",
    "--lifetime-restart",
    "--nanny",
    "--no-bokeh",
    "--no-dashboard",
    "--no-jupyter",
    "--no-lifetime-restart",
    "--no-nanny",
    "--no-reconnect",
    "--no-show",
    "--reconnect",
    "--rmm-managed-memory",
    "--show",
    "--version",
];

/// What a container starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// `command` of the container, without which the `ENTRYPOINT` of its image is started.
    pub command: Option<Vec<String>>,
    /// Its `args`.
    pub args: Vec<String>,
}

/// The program of a role, as it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// The Python that has it, where that can be seen.
    pub python: Option<String>,
    pub options: Vec<Given>,
}

/// An option and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// Its name, such as `--nthreads`; empty for a word that belongs to no option.
    pub name: String,
    pub value: Option<String>,
    /// The words as they were written.
    pub words: Vec<String>,
}

impl Start {
    pub fn words(&self) -> impl Iterator<Item = &String> {
        self.command.iter().flatten().chain(&self.args)
    }

    /// The field that the program stands in.
    pub fn field(&self) -> &'static str {
        if self.args.is_empty() { "command" } else { "args" }
    }

    /// Dask's own program of this role (`scheduler` or `worker`); none for any other command.
    pub fn program(&self, role: &str) -> Option<Program> {
        let words: Vec<&str> = self.words().map(String::as_str).collect();
        let (python, rest) = match words.as_slice() {
            [python, "-m", module, rest @ ..]
                if last(python).starts_with("python")
                    && *module == format!("distributed.cli.dask_{role}") =>
            {
                (Some((*python).to_owned()).filter(|python| python != "python"), rest)
            }
            [program, rest @ ..] if last(program) == format!("dask-{role}") => (python_beside(program), rest),
            [program, second, rest @ ..] if last(program) == "dask" && *second == role => {
                (python_beside(program), rest)
            }
            _ => return None,
        };
        Some(Program { python, options: options(rest) })
    }

    /// Whether it is the worker of `dask-cuda`, with its options behind it.
    pub fn is_cuda_worker(&self) -> bool {
        let words: Vec<&str> = self.words().map(String::as_str).collect();
        match words.as_slice() {
            [program, ..] if last(program) == "dask-cuda-worker" => true,
            [program, "cuda", "worker", ..] => last(program) == "dask",
            _ => false,
        }
    }

    /// Adds words at the end.
    pub fn push(&mut self, words: &[&str]) {
        let more = words.iter().map(|word| (*word).to_owned());
        match &mut self.command {
            Some(command) if self.args.is_empty() => command.extend(more),
            _ => self.args.extend(more),
        }
    }
}

/// The name of a program without its folder.
fn last(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

/// The Python of the folder in which a program is; none where it was looked for in `PATH`.
fn python_beside(program: &str) -> Option<String> {
    program.rsplit_once('/').map(|(folder, _)| format!("{folder}/python"))
}

fn options(words: &[&str]) -> Vec<Given> {
    let mut found = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let mut given = Given { name: String::new(), value: None, words: vec![(*word).to_owned()] };
        if !word.starts_with("--") {
            given.value = Some((*word).to_owned());
        } else if let Some((name, value)) = word.split_once('=') {
            (given.name, given.value) = (name.to_owned(), Some(value.to_owned()));
        } else {
            (*word).clone_into(&mut given.name);
            let value = if FLAGS.contains(word) { None } else { rest.next() };
            given.value = value.map(|value| (*value).to_owned());
            given.words.extend(given.value.clone());
        }
        found.push(given);
    }
    found
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn start(command: &[&str], args: &[&str]) -> Start {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Start { command: (!command.is_empty()).then(|| words(command)), args: words(args) }
    }

    #[rstest]
    #[case::of_an_entrypoint(&[], &["dask-worker", "--nthreads", "2"], None)]
    #[case::of_the_new_program(&[], &["dask", "worker", "--nthreads=2"], None)]
    #[case::of_a_command(&["dask-worker"], &["--nthreads", "2"], None)]
    #[case::of_a_folder(&["/opt/conda/bin/dask", "worker", "--nthreads", "2"], &[], Some("/opt/conda/bin/python"))]
    #[case::of_a_module(&["python3", "-m", "distributed.cli.dask_worker"], &["--nthreads", "2"], Some("python3"))]
    fn the_program_of_a_worker_is_known(
        #[case] command: &[&str],
        #[case] args: &[&str],
        #[case] python: Option<&str>,
    ) {
        let start = start(command, args);
        let program = start.program("worker").unwrap();
        assert_eq!(program.python.as_deref(), python);
        let [option] = program.options.as_slice() else { panic!("{program:?}") };
        assert_eq!((option.name.as_str(), option.value.as_deref()), ("--nthreads", Some("2")));
        assert_eq!(start.program("scheduler"), None);
    }

    #[test]
    fn other_commands_are_their_own() {
        for words in [&["sh", "-c", "exec dask-worker"][..], &["tini", "--", "dask", "worker"], &[]] {
            assert_eq!(start(&[], words).program("worker"), None, "{words:?}");
        }
        assert!(start(&[], &["dask", "cuda", "worker"]).is_cuda_worker());
        assert!(start(&["/bin/dask-cuda-worker"], &[]).is_cuda_worker());
        assert!(!start(&[], &["dask", "worker", "cuda"]).is_cuda_worker());
    }

    #[test]
    fn flags_take_no_value_and_words_of_no_option_are_kept() {
        let words = ["tcp://a:8786", "--no-nanny", "--preload", "x.py", "--lifetime"];
        let found: Vec<_> =
            options(&words).into_iter().map(|given| (given.name, given.value, given.words.len())).collect();
        let given =
            |name: &str, value: Option<&str>, words| (name.to_owned(), value.map(str::to_owned), words);
        assert_eq!(
            found,
            [
                given("", Some("tcp://a:8786"), 1),
                given("--no-nanny", None, 1),
                given("--preload", Some("x.py"), 2),
                given("--lifetime", None, 1),
            ]
        );
    }
}
