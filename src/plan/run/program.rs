//! What the runners of a run are made from: for all its attempts the same.

use kube::ResourceExt;

use super::ground::Ground;
use super::observed::ScriptView;
use super::work::Work;
use crate::api::common::ConfigMapKey;
use crate::api::flow::Code;
use crate::api::flow_run::Program;
use crate::api::{Flow, labels};
use crate::plan::flow::parameters;
use crate::plan::pods::script::{Script, key};
use k8s_openapi::api::batch::v1::Job;

/// The script of an earlier attempt, in the ConfigMap that was made for it.
pub(super) fn script_to_read(program: &Program) -> Option<ConfigMapKey> {
    Some(ConfigMapKey { name: program.config_map.clone()?, key: key(program.file.as_deref()?) })
}

/// What the runners of this Flow are made from now; `file` is the name of a script that is not in the image.
pub(super) fn of(flow: &Flow, file: Option<&str>, config_map: Option<String>) -> Program {
    Program {
        image: flow.spec.image.clone(),
        path: flow.spec.code.as_ref().and_then(|code| code.path.clone()),
        file: file.map(str::to_owned),
        config_map: config_map.filter(|_| file.is_some()),
        command: flow.spec.command.clone(),
        args: flow.spec.args.clone(),
    }
}

/// The Flow, with what the first runner of the run was made from in place of what it says now.
fn as_it_was(flow: &Flow, program: &Program) -> Flow {
    let is_outside = Ground::of(flow).is_outside();
    let mut flow = flow.clone();
    let is_script = program.path.is_some() || program.file.is_some();
    flow.spec.image = program.image.clone().or_else(|| flow.spec.image.filter(|_| is_outside));
    flow.spec.code = is_script.then(|| Code {
        path: program.path.clone(),
        config_map: script_to_read(program),
        inline: None,
    });
    (flow.spec.command, flow.spec.args) = (program.command.clone(), program.args.clone());
    flow
}

impl Work<'_> {
    /// The Flow and the script to make the next runner from.
    pub(super) fn to_be_run(&self, flow: &Flow) -> (Flow, Option<Script>) {
        let Some(program) = &self.status.program else {
            let inline = flow.spec.code.as_ref().and_then(|code| code.inline.as_deref()).map(Script::inline);
            return match &self.observed.script {
                ScriptView::Found(script) => (flow.clone(), Some(script.clone())),
                _ => (flow.clone(), inline),
            };
        };
        let script = match (&self.observed.script, &program.file) {
            (ScriptView::Found(script), Some(file)) => Some(script.kept(file)),
            _ => None,
        };
        (as_it_was(flow, program), script)
    }

    /// Remembers what the run is made from, at its first Job. The file of a Job that is found is what the
    /// Flow names now.
    pub(super) fn remember_program(&mut self, flow: &Flow, script: Option<&Script>, job: &Job) {
        if self.status.program.is_none() {
            let code = flow.spec.code.as_ref();
            let of_map = code.and_then(|code| code.config_map.as_ref()).map(|source| source.key.clone());
            let inline = code.and_then(|code| code.inline.as_deref()).map(|text| Script::inline(text).file);
            let file = script.map(|script| script.file.clone()).or(of_map).or(inline);
            let map = job.labels().get(labels::CODE).cloned();
            self.status.program = Some(of(flow, file.as_deref(), map));
        }
    }

    /// Remembers the parameters of a run that has none of a tick.
    pub(super) fn remember_parameters(&mut self, flow: &Flow) {
        if self.run.spec.merged_parameters.is_none() && self.status.merged_parameters.is_none() {
            self.status.merged_parameters = Some(parameters::of_run(flow, self.run).into());
        }
    }
}
