//! `daskflow crds`

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::reference;
use crate::api;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write one file for each kind into this folder. Default: all to standard output.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Mark them for Helm, so that `helm uninstall` keeps them and what they hold.
    #[arg(long)]
    helm: bool,
    /// Write the reference of all fields, as Markdown, to standard output.
    #[arg(long, conflicts_with_all = ["out", "helm"])]
    markdown: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot write {path}")]
    Write { path: String, source: io::Error },
    #[error("a definition cannot be written as YAML")]
    Yaml(#[from] serde_yaml::Error),
    #[error("a definition cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match write(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

fn write(arguments: &Arguments) -> Result<(), Error> {
    if arguments.markdown {
        return write_stream(&reference::page(&api::crds())?);
    }
    for mut crd in api::crds() {
        if arguments.helm {
            let annotations = crd.metadata.annotations.get_or_insert_default();
            annotations.insert("helm.sh/resource-policy".to_owned(), "keep".to_owned());
        }
        let yaml = serde_yaml::to_string(&crd)?;
        match &arguments.out {
            Some(folder) => write_file(folder, &crd, &yaml)?,
            None => write_stream(&format!("---\n{yaml}\n"))?,
        }
    }
    Ok(())
}

fn write_file(folder: &Path, crd: &CustomResourceDefinition, yaml: &str) -> Result<(), Error> {
    let path = folder.join(format!("{}.yaml", crd.spec.names.plural));
    let failed = |source| Error::Write { path: path.display().to_string(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    fs::write(&path, yaml).map_err(failed)
}

fn write_stream(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .map_err(|source| Error::Write { path: "standard output".to_owned(), source })
}
