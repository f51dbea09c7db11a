//! `--filename`, as kubectl has it: files, folders and standard input.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Arg, Args};

use crate::client::find::Named;
use crate::manifest::shell::word;

/// The endings that kubectl takes from a folder.
const EXTENSIONS: &[&str] = &["json", "yaml", "yml"];
/// What standard input is called in messages; kubectl calls it so.
const STANDARD_INPUT: &str = "STDIN";

#[derive(Clone, Debug, Args)]
pub(super) struct Files {
    /// A file, a folder with files (*.yaml, *.yml, *.json), or - for standard input. May be given several
    /// times.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    filename: Vec<PathBuf>,
    /// Look into folders of folders as well.
    #[arg(short = 'R', long)]
    recursive: bool,
}

/// A text and where it is from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The path as messages show it.
    pub name: String,
    pub text: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{path} cannot be read")]
    Read { path: String, source: io::Error },
    #[error("{path} is not a text of Unicode in UTF-8")]
    Text { path: String },
    #[error("{path} has no file that ends in .json, .yaml or .yml{hint}")]
    Empty { path: String, hint: &'static str },
}

/// The name of an object of a cluster, where -f stands before a file.
pub(super) fn object(text: &str) -> Result<Named, String> {
    let (named, path) = (text.parse::<Named>(), Path::new(text));
    if is_manifest(path) || (named.is_err() && path.exists()) {
        return Err(format!("it names a file: write -f {}", word(text)));
    }
    named
}

/// Whether a file is one that kubectl takes from a folder, by its name.
fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|kind| EXTENSIONS.iter().any(|known| kind == *known))
}

/// Files are read without a cluster: what says which one does not go with them.
pub(super) fn without_files(argument: Arg) -> Arg {
    match argument.get_id().as_str() {
        "context" | "kubeconfig" | "local" | "impersonate" => argument.conflicts_with("filename"),
        _ => argument,
    }
}

impl Source {
    /// Whether it was read from standard input.
    pub fn is_input(&self) -> bool {
        self.name == STANDARD_INPUT
    }
}

impl Files {
    /// All of it but standard input, which has an end; none if there is nothing else.
    pub fn without_input(&self) -> Option<Self> {
        let filename: Vec<PathBuf> =
            self.filename.iter().filter(|path| path.as_os_str() != "-").cloned().collect();
        (!filename.is_empty()).then_some(Self { filename, recursive: self.recursive })
    }

    /// The files as they are now: those of folders, and those that are named, be they there or not.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for path in &self.filename {
            if path.is_dir() {
                // What cannot be listed is said when it is read.
                let _ = self.list(path, &mut paths);
            } else {
                paths.push(path.clone());
            }
        }
        paths
    }

    /// Reads everything that was named. What cannot be read does not keep the rest from being read.
    pub fn read(&self) -> Vec<Result<Source, Error>> {
        let mut found = Vec::new();
        let mut input_read = false;
        for path in &self.filename {
            if path.as_os_str() == "-" {
                // It has an end only once.
                if !std::mem::replace(&mut input_read, true) {
                    found.push(read_input());
                }
            } else if path.is_dir() {
                self.read_folder(path, &mut found);
            } else {
                found.push(read_file(path));
            }
        }
        found
    }

    fn read_folder(&self, folder: &Path, found: &mut Vec<Result<Source, Error>>) {
        let mut files = Vec::new();
        if let Err(source) = self.list(folder, &mut files) {
            return found.push(Err(Error::Read { path: folder.display().to_string(), source }));
        }
        if files.is_empty() {
            let hint = if self.recursive { "" } else { " (-R looks into its folders)" };
            found.push(Err(Error::Empty { path: folder.display().to_string(), hint }));
        }
        found.extend(files.iter().map(|file| read_file(file)));
    }

    /// The files of a folder by name, as everything else that lists them does.
    fn list(&self, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
        paths.sort();
        for path in paths.into_iter().filter(|path| !is_mark_of_editor(path)) {
            // A link to a folder may lead back up; kubectl does not follow it either.
            if path.is_dir() && !path.is_symlink() {
                if self.recursive {
                    self.list(&path, files)?;
                }
            } else if is_manifest(&path) && fs::metadata(&path).map_or(true, |found| found.is_file()) {
                // A pipe among them would be waited for, and for ever.
                files.push(path);
            }
        }
        Ok(())
    }
}

/// Whether it is a link to nowhere by which Emacs marks a file with changes that are not saved.
fn is_mark_of_editor(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.starts_with(".#")) && !path.exists()
}

fn read_file(path: &Path) -> Result<Source, Error> {
    let name = path.display().to_string();
    match fs::read(path) {
        Ok(bytes) => source(name, bytes),
        Err(source) => Err(Error::Read { path: name, source }),
    }
}

fn read_input() -> Result<Source, Error> {
    let name = STANDARD_INPUT.to_owned();
    let mut bytes = Vec::new();
    match io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => source(name, bytes),
        Err(source) => Err(Error::Read { path: name, source }),
    }
}

fn source(name: String, bytes: Vec<u8>) -> Result<Source, Error> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { name, text }),
        Err(_) => Err(Error::Text { path: name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_its_option_is_told_from_a_name() {
        for text in ["two.yaml", "flows/two.json", "src/", "./src"] {
            assert!(object(text).unwrap_err().contains(&format!("write -f {text}")), "{text}");
        }
        // There is a folder of this name.
        for text in ["src", "flow/etl", "etl-1.0"] {
            assert!(object(text).is_ok(), "{text}");
        }
        assert!(object("pod/a").unwrap_err().contains("is no kind"));
    }

    #[test]
    fn of_a_folder_only_files_are_read() {
        let folder = std::env::temp_dir().join(format!("daskflow-pipes-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.join("pipe.yaml")).status().unwrap();
        assert!(made.success());
        fs::write(folder.join("a.yaml"), "").unwrap();
        std::os::unix::fs::symlink(folder.join("a.yaml"), folder.join("link.yaml")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.join("lost.yaml")).unwrap();
        let found = Files { filename: vec![folder.clone()], recursive: false }.paths();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, ["a.yaml", "link.yaml", "lost.yaml"].map(|name| folder.join(name)));
    }
}
