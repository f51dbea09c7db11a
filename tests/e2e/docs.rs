//! What the documentation tells a reader to do, done.

use std::fs;
use std::path::{Path, PathBuf};

use daskflow::api::{DaskCluster, Phase};
use kube::ResourceExt;
use tokio::process::Command;

use crate::pages::{
    Command as Line, Entry, Page, Way, blocks, commands, entries, files_of, pages, root, way_of,
};
use crate::support::figures::say;
use crate::support::namespace::is_ready;
use crate::support::runners::jobs_of;
use crate::support::workers::is_worker;
use crate::support::{Load, Namespace, test, within};

/// Kinds of others that this cluster does not have.
const OF_OTHERS: [&str; 4] =
    ["argoproj.io/", "monitoring.coreos.com/", "cert-manager.io/", "kubernetes.dask.org/"];
/// Images that the pages name, for which the one with Dask alone stands.
const IMAGES: [&str; 3] =
    ["ghcr.io/dask/dask:2024.12.1", "registry.example/flows:1.4", "registry.example/words:1"];
/// The same with Prefect 3, and with Prefect 1.
const PREFECT: [&str; 2] = ["registry.example/squares:1", "registry.example/report:1"];

/// The page that has a test of its own, for it waits for three clusters and three runs.
const GET_STARTED: &str = "docs/get-started.md";
/// What its containers ask for, and what they get: the nodes of the tests are small.
const REQUESTS: [&str; 2] = ["{cpu: 250m, memory: 1Gi}", "{cpu: 10m, memory: 64Mi}"];

/// A reader's folder, shell and namespace.
struct Reader<'a> {
    namespace: &'a Namespace,
    folder: PathBuf,
    /// What stands for a name in the pages: that of an object which is there.
    names: Vec<(&'static str, String)>,
}

#[tokio::test]
async fn docs_commands_work() {
    test("docs_commands_work", Load::Crowd, async |namespace| {
        let pages = pages();
        let mut reader = Reader::new(namespace, &pages, "docs_commands_work").await;
        reader.every_manifest_is_accepted(&pages).await;
        reader.follow_first_flow().await;
        reader.start_cluster_with_tls(&pages).await;
        let (entries, mut count) = (entries(), 0);
        for page in pages.iter().filter(|page| page.name != GET_STARTED) {
            let lines = lines_of(page, &entries);
            count += lines.len();
            reader.shell(&page.name, &lines.join("\n")).await;
        }
        assert!(count > 30, "only {count} commands were run");
    })
    .await;
}

/// Each script of the page goes from the reader's file to a run that has succeeded, by the commands of the
/// page.
#[tokio::test]
async fn get_started_works() {
    test("get_started_works", Load::Crowd, async |namespace| {
        let pages = pages();
        let page = pages.iter().find(|page| page.name == GET_STARTED).unwrap();
        let reader = Reader::new(namespace, &pages, "get_started_works").await;
        let lines = lines_of(page, &entries());
        assert!(lines.len() >= 12, "{lines:?}");
        reader.shell(&page.name, &lines.join("\n")).await;
        for (run, has_tasks) in [("squares-now", true), ("report-now", true), ("words-now", false)] {
            let run = namespace.until_phase(run, Phase::Succeeded, 30).await;
            let tasks = run.status.unwrap().tasks;
            assert_eq!(tasks.is_some(), has_tasks, "as the page says of TASKS: {tasks:?}");
        }
    })
    .await;
}

/// The commands of a page that are run here, as they are run.
fn lines_of(page: &Page, entries: &[Entry]) -> Vec<String> {
    let commands = blocks(&page.text).into_iter().flat_map(commands);
    let lines = commands.filter_map(|command| shell(way_of(entries, &page.name, &command)?, &command));
    lines.collect()
}

/// How a command is written into the script; none if it is not run here.
fn shell(way: Way, command: &Line) -> Option<String> {
    let text = &command.text;
    match way {
        Way::Cluster => Some(text.clone()),
        // 124: it was still at it.
        Way::Watch => Some(format!("timeout 5 {text} || [ $? = 124 ]")),
        Way::DryRun => Some(format!("{} --dry-run=server --force-conflicts", command.key)),
        Way::Render => {
            let text =
                command.key.replace("helm install", "helm template").replace("helm upgrade", "helm template");
            let text = text.replace(" --reuse-values", "").replace(" --reset-then-reuse-values", "");
            Some(format!("{text} >/dev/null"))
        }
        Way::Local | Way::Elsewhere => None,
    }
}

/// The objects of a page's manifests, each as it is written.
fn manifests(page: &Page) -> Vec<&str> {
    let blocks = blocks(&page.text).into_iter().filter(|block| block.language == "yaml");
    let texts = blocks.flat_map(|block| block.text.split("\n---\n"));
    texts.filter(|text| text.contains("apiVersion:")).collect()
}

/// The manifest of this kind and name.
fn manifest<'a>(pages: &'a [Page], page: &str, kind: &str, word: &str) -> &'a str {
    let page = pages.iter().find(|candidate| candidate.name == page).unwrap();
    let mut found = manifests(page).into_iter();
    let kind = format!("kind: {kind}\n");
    found.find(|text| text.contains(&kind) && text.contains(word)).expect("the page has this manifest")
}

impl<'a> Reader<'a> {
    /// A folder with the files that the pages tell to save, and with the project's own.
    async fn new(namespace: &'a Namespace, pages: &[Page], test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::create_dir_all(folder.join("flows-chart/templates")).unwrap();
        fs::create_dir_all(folder.join(".build")).unwrap();
        for name in ["charts", "crds", "gitops", "manifests"] {
            std::os::unix::fs::symlink(root().join(name), folder.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_daskflow"), folder.join("bin/daskflow")).unwrap();
        let reader = Self { namespace, folder, names: Vec::new() };
        let author = "docs/flow-author.md";
        reader.save("analytics.yaml", manifest(pages, author, "DaskCluster", "name: analytics"));
        reader.save("nightly.yaml", manifest(pages, author, "Flow", "name: nightly-report"));
        reader.save("now.yaml", manifest(pages, author, "FlowRun", "nightly-report-now-"));
        reader.save("backfill.yaml", manifest(pages, "docs/backfill.md", "FlowBackfill", "name: october"));
        let readme = ["DaskCluster", "Flow"].map(|kind| manifest(pages, "README.md", kind, "name: "));
        reader.save("hello.yaml", &readme.join("\n---\n"));
        let begin = pages.iter().find(|page| page.name == GET_STARTED).unwrap();
        let files = files_of(&begin.text);
        assert_eq!(files.len(), 7, "three scripts, their manifests, and a run: {files:?}");
        for (name, text) in files {
            reader.save(name, text);
        }
        reader.save("flows-chart/Chart.yaml", "{apiVersion: v2, name: flows, version: 0.1.0}");
        reader.save(
            "flows-chart/templates/nightly.yaml",
            manifest(pages, author, "Flow", "name: nightly-report"),
        );
        // The namespace of the test is the reader's.
        let begin = format!(
            "cp \"$KUBECONFIG\" kubeconfig && chmod 600 kubeconfig\nKUBECONFIG=kubeconfig kubectl config set-context --current \
             --namespace {}",
            namespace.name
        );
        run_in(&reader.folder, &begin, false).await.unwrap();
        reader
    }

    fn save(&self, name: &str, manifest: &str) {
        let settings = &self.namespace.settings;
        let prefect = PREFECT.into_iter().zip([&settings.prefect3, &settings.prefect1]);
        let images = IMAGES.into_iter().map(|image| (image, &settings.dask)).chain(prefect);
        let [asked, given] = REQUESTS;
        let text = images.fold(manifest.replace(asked, given), |text, (from, to)| text.replace(from, to));
        fs::write(self.folder.join(name), text).unwrap();
    }

    async fn shell(&self, page: &str, script: &str) {
        let text = self.names.iter().fold(script.to_owned(), |text, (from, to)| text.replace(from, to));
        match run_in(&self.folder, &text, true).await {
            Ok(said) => say(&format!("{page}:\n{said}")),
            Err(said) => panic!("{page}: {said}"),
        }
    }

    /// The API server takes every manifest of the pages, if it knows the kind.
    async fn every_manifest_is_accepted(&self, pages: &[Page]) {
        let (mut count, mut faults) = (0, Vec::new());
        for page in pages {
            for text in manifests(page) {
                if OF_OTHERS.iter().any(|group| text.contains(&format!("apiVersion: {group}"))) {
                    continue;
                }
                self.save("one.yaml", text);
                let ask = "kubectl create --dry-run=server --validate=strict -f one.yaml";
                if let Err(said) = run_in(&self.folder, ask, true).await {
                    faults.push(format!("{}: {said}\n{text}", page.name));
                }
                count += 1;
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(count > 15, "only {count} manifests were found");
    }

    /// A Flow with all that one has, up to a run that has succeeded: what its later commands look at is
    /// there.
    async fn follow_first_flow(&mut self) {
        self.shell("the first flow", "kubectl apply -f analytics.yaml -f nightly.yaml -f backfill.yaml")
            .await;
        self.namespace.until("analytics", within(180, "DaskCluster analytics is ready"), is_ready).await;
        self.shell("the first run", "kubectl create -f now.yaml").await;
        let runs = self.namespace.runs_of("nightly-report").await;
        let run = runs.iter().map(ResourceExt::name_any).find(|name| name.starts_with("nightly-report-now-"));
        let run = run.expect("there is a run");
        self.namespace.until_phase(&run, Phase::Succeeded, 300).await;
        let jobs = jobs_of(self.namespace, &run).await;
        assert_eq!(jobs, [format!("{run}-1")], "the page calls the Job so");
        let said = run_in(&self.folder, &format!("kubectl logs job/{run}-1"), true).await.unwrap();
        assert!(said.contains("south 328350"), "{said}");
        self.names.push(("job/RUN-1", format!("job/{run}-1")));
    }

    /// The cluster that two pages call research, small.
    async fn start_cluster_with_tls(&mut self, pages: &[Page]) {
        let text = manifest(pages, "docs/tls.md", "DaskCluster", "issuer: Operator")
            .replace("replicas: 4", "replicas: 1");
        self.save("research.yaml", &text);
        self.shell("a cluster with TLS", "kubectl apply -f research.yaml").await;
        let wait = within(180, "DaskCluster research is ready");
        let _: DaskCluster = self.namespace.until("research", wait, is_ready).await;
        let workers = self.namespace.workers("research").await.unwrap();
        let worker = workers.iter().find(|pod| is_worker(pod)).unwrap().name_any();
        self.names.push(("research-default-x3k9q", worker));
        self.names.push(("dkc research --replicas 8", "dkc research --replicas 2".to_owned()));
        // The files that a reader brings along; what is in them is not looked at.
        for file in ["ca.crt", "tls.crt", "tls.key"] {
            self.save(file, "not looked at");
        }
    }
}

/// What a script said on both its outputs, or that and how it ended.
async fn run_in(folder: &Path, script: &str, in_namespace: bool) -> Result<String, String> {
    #[allow(clippy::disallowed_methods, reason = "the shell finds its programs by it")]
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &format!("exec 2>&1; set -x\n{script}")]);
    shell.current_dir(folder).env("PATH", path).stdin(std::process::Stdio::null()).kill_on_drop(true);
    if in_namespace {
        shell.env("KUBECONFIG", folder.join("kubeconfig"));
    }
    let output = shell.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{}\n{said}", output.status)) }
}

#[test]
fn what_is_run_is_what_the_page_says() {
    let command = |text: &str| Line { text: text.to_owned(), key: text.to_owned() };
    let install = command("helm install a b --reuse-values --set c=d");
    assert_eq!(shell(Way::Render, &install).as_deref(), Some("helm template a b --set c=d >/dev/null"));
    assert_eq!(shell(Way::Elsewhere, &install), None);
    let watch = shell(Way::Watch, &command("x"));
    assert_eq!(watch.as_deref(), Some("timeout 5 x || [ $? = 124 ]"));
}
