//! `daskflow generate crds`

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionSpec,
};
use serde::Serialize;

use super::reference;
use crate::api::{self, dask_kubernetes};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write one file for each kind into this folder. Default: all to standard output.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Write them as templates of the Helm chart, with its labels and its switches `crds.enabled` and
    /// `crds.keep`.
    #[arg(long)]
    helm: bool,
    /// Write the reference of all fields, as Markdown, to standard output.
    #[arg(long, conflicts_with_all = ["out", "helm"])]
    markdown: bool,
    /// Those of dask-kubernetes, `kubernetes.dask.org`, instead of ours.
    #[arg(long, conflicts_with = "markdown")]
    dask_kubernetes: bool,
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
        Err(error) => crate::cli::output::fail(&error),
    }
}

fn write(arguments: &Arguments) -> Result<(), Error> {
    if arguments.markdown {
        return write_stream(&reference::page(&api::crds())?);
    }
    let crds = if arguments.dask_kubernetes { dask_kubernetes::crds() } else { api::crds() };
    for crd in crds {
        let yaml = if arguments.helm { template(&crd)? } else { serde_yaml::to_string(&crd)? };
        match &arguments.out {
            Some(folder) => write_file(folder, &crd, &yaml)?,
            None => write_stream(&format!("---\n{yaml}\n"))?,
        }
    }
    Ok(())
}

/// A definition as a template. Helm never upgrades what lies in a chart's folder `crds`, so they are
/// templates like the rest; what keeps them at an uninstall is an annotation, which the chart's own template
/// writes. Those of dask-kubernetes are for whoever wants them, and are left alone where something else has
/// installed them.
fn template(crd: &CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    let name = crd.metadata.name.as_deref().unwrap_or_default();
    // A brace pair of a description would be an action of the template.
    let spec = serde_yaml::to_string(&Spec { spec: &crd.spec })?.replace("{{", r#"{{ "{{" }}"#);
    let condition = if crd.spec.group == dask_kubernetes::GROUP {
        format!(r#"include "daskflow.installsDaskKubernetes" (dict "root" . "crd" "{name}")"#)
    } else {
        ".Values.crds.enabled".to_owned()
    };
    Ok(format!(
        r#"{{{{- if {condition} }}}}
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {name}
  labels:
    {{{{- include "daskflow.labels" . | nindent 4 }}}}
  {{{{- with include "daskflow.crdAnnotations" . }}}}
  annotations:
    {{{{- . | nindent 4 }}}}
  {{{{- end }}}}
{spec}{{{{- end }}}}
"#
    ))
}

/// The part of a definition that is the same everywhere.
#[derive(Serialize)]
struct Spec<'a> {
    spec: &'a CustomResourceDefinitionSpec,
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
