#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use k8s_openapi::api::core::v1::Pod;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::{container, scheduler, worker};
use super::*;
use crate::api::DaskCluster;

fn cluster(spec: &Value) -> DaskCluster {
    let mut all = json!({"image": "i"});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    DaskCluster::new("a", serde_json::from_value(all).unwrap())
}

#[rstest]
#[case(&["--port", "9000"], "--port")]
#[case(&["--port=9000"], "--port")]
#[case(&["--port"], "--port")]
#[case(&["--host", "127.0.0.1"], "--host")]
#[case(&["--protocol", "ucx"], "--protocol")]
#[case(&["--protocol", "tls"], "--protocol")]
#[case(&["--dashboard-address", ":9999"], "--dashboard-address")]
fn arguments_by_which_nobody_finds_the_scheduler_are_refused(
    #[case] arguments: &[&str],
    #[case] named: &str,
) {
    let arguments: Vec<Value> = arguments.iter().map(|one| json!(one)).collect();
    let fault = scheduler::pod(&cluster(&json!({"scheduler": {"args": arguments}})), Site::Kubernetes, None)
        .unwrap_err();
    assert_eq!(fault.field, "spec.scheduler.args");
    assert!(fault.said().starts_with(&format!("{named} cannot be set")), "{}", fault.message);
    let template = json!({"spec": {"containers": [{"name": "scheduler", "args": arguments}]}});
    let fault =
        scheduler::pod(&cluster(&json!({"scheduler": {"template": template}})), Site::Kubernetes, None)
            .unwrap_err();
    assert_eq!(fault.field, "spec.scheduler.template");
}

#[rstest]
#[case(&["--host", "0.0.0.0"])]
#[case(&["--port", "8786", "--dashboard-address", ":8787"])]
#[case(&["--protocol", "tcp", "--no-show", "--jupyter", "--idle-timeout", "1h"])]
#[case(&["--portal"])]
fn other_arguments_of_the_scheduler_are_taken(#[case] arguments: &[&str]) {
    scheduler::pod(&cluster(&json!({"scheduler": {"args": arguments}})), Site::Kubernetes, None).unwrap();
}

/// All words of the container of a pod.
fn words(pod: Pod, container: &str) -> Vec<String> {
    let containers = pod.spec.unwrap().containers;
    let main = containers.into_iter().find(|one| one.name == container).unwrap();
    main.command.into_iter().chain(main.args).flatten().collect()
}

const MACHINE: Site = Site::Machine { comm: 20_000, dashboard: 20_001 };

/// What is right in Kubernetes is right on a machine, where it listens at ports of its own.
#[rstest]
#[case(json!({"args": ["--no-show"]}))]
#[case(json!({"args": ["--host", "0.0.0.0", "--no-show"]}))]
#[case(json!({"args": ["--port", "8786", "--no-show", "--dashboard-address=:8787"]}))]
fn a_scheduler_listens_where_its_site_says(
    #[case] own: Value,
    #[values(None, Some("Image"))] entrypoint: Option<&str>,
    #[values(false, true)] is_template: bool,
) {
    let mut own = own;
    if is_template {
        own["name"] = json!("scheduler");
        own = json!({"template": {"spec": {"containers": [own]}}});
    }
    let cluster = cluster(&json!({"entrypoint": entrypoint, "scheduler": own}));
    scheduler::pod(&cluster, Site::Kubernetes, None).unwrap();
    let words = words(scheduler::pod(&cluster, MACHINE, None).unwrap(), "scheduler");
    for (name, wanted) in
        [("--port", "20000"), ("--host", "127.0.0.1"), ("--dashboard-address", "127.0.0.1:20001")]
    {
        assert_eq!(words.iter().filter(|word| word.starts_with(name)).count(), 1, "{words:?}");
        assert_eq!(option(&words, name), Some(wanted), "{words:?}");
    }
    assert!(words.iter().any(|word| word == "--no-show"), "{words:?}");
}

#[test]
fn arguments_are_refused_on_a_machine_as_in_kubernetes() {
    for arguments in [["--port", "20000"], ["--host", "127.0.0.1"], ["--dashboard-address", ":20001"]] {
        let cluster = cluster(&json!({"scheduler": {"args": arguments}}));
        for site in [Site::Kubernetes, MACHINE] {
            let fault = scheduler::pod(&cluster, site, None).unwrap_err();
            assert!(fault.said().starts_with(arguments[0]), "{}", fault.message);
        }
    }
}

#[test]
fn a_scheduler_of_a_templates_own_command_listens_there_too() {
    let container = json!({"name": "scheduler", "command": ["dask", "scheduler"]});
    let cluster = cluster(&json!({"scheduler": {"template": {"spec": {"containers": [container]}}}}));
    let of = |site: Site| words(scheduler::pod(&cluster, site, None).unwrap(), "scheduler").join(" ");
    assert_eq!(of(Site::Kubernetes), "dask scheduler");
    let place = "--port 20000 --host 127.0.0.1 --dashboard-address 127.0.0.1:20001";
    assert_eq!(of(MACHINE), format!("dask scheduler {place}"));
}

#[test]
fn workers_of_a_machine_listen_at_whatever_port_is_free() {
    let of = |workers: Value, site: Site| {
        let cluster = cluster(&json!({"workers": workers}));
        let made = worker::pod(&cluster, site, None, ("default", &cluster.spec.workers), 7).unwrap();
        words(made, "worker")
    };
    let args =
        json!(["--host", "0.0.0.0", "--worker-port=9000", "--dashboard-address", ":9001", "--no-nanny"]);
    let kubernetes = of(json!({"args": args}), Site::Kubernetes);
    assert_eq!(option(&kubernetes, "--host"), Some("0.0.0.0"));
    let in_template = json!({"template": {"spec": {"containers": [{"name": "worker", "args": args}]}}});
    for workers in [json!({}), json!({"args": args}), in_template] {
        let words = of(workers, MACHINE);
        assert_eq!(option(&words, "--host"), Some("127.0.0.1"), "{words:?}");
        assert_eq!(option(&words, "--dashboard-address"), Some("127.0.0.1:0"), "{words:?}");
        assert!(!words.iter().any(|word| word.contains("900") || word == "0.0.0.0"), "{words:?}");
    }
}

/// Probes of a template's own have the ports of Kubernetes, where a scheduler has them; what a worker has on
/// a machine is not known before it runs.
#[test]
fn on_a_machine_probes_ask_at_the_ports_that_are_there() {
    let ports = |name: &str, pod: Pod| {
        let all = pod.spec.unwrap().containers;
        let main = all.into_iter().find(|container| container.name == name).unwrap();
        let liveness = main.liveness_probe.unwrap().http_get.unwrap().port;
        (liveness, main.startup_probe.unwrap().tcp_socket.unwrap().port)
    };
    let template = |name: &str, page: Value, socket: Value| {
        let (page, socket) = (json!({"httpGet": {"port": page}}), json!({"tcpSocket": {"port": socket}}));
        let container = json!({"name": name, "livenessProbe": page, "startupProbe": socket});
        json!({"template": {"spec": {"containers": [container]}}})
    };
    let scheduler = |page: Value, site: Site| {
        let cluster = cluster(&json!({"scheduler": template("scheduler", page, json!(8786))}));
        ports("scheduler", scheduler::pod(&cluster, site, None).unwrap())
    };
    let (number, name) = (IntOrString::Int, |name: &str| IntOrString::String(name.to_owned()));
    assert_eq!(scheduler(json!(8787), Site::Kubernetes), (number(8787), number(8786)));
    assert_eq!(scheduler(json!(8787), MACHINE), (number(20_001), number(20_000)));
    assert_eq!(scheduler(json!("http-dashboard"), MACHINE), (name("http-dashboard"), number(20_000)));
    assert_eq!(scheduler(json!(9000), MACHINE).0, number(9000), "a program of the template's own");
    let worker = |site: Site| {
        let cluster = cluster(&json!({"workers": template("worker", json!(8788), json!("http-worker"))}));
        let made = worker::pod(&cluster, site, None, ("default", &cluster.spec.workers), 7).unwrap();
        ports("worker", made)
    };
    assert_eq!(worker(Site::Kubernetes), (number(8788), name("http-worker")));
    assert_eq!(worker(MACHINE), (name("any-free-one"), name("any-free-one")));
}

#[test]
fn a_scheduler_that_hangs_is_started_again() {
    let probe = |spec: Value| {
        scheduler::pod(&cluster(&spec), Site::Kubernetes, None).unwrap().spec.unwrap().containers[0]
            .liveness_probe
            .clone()
    };
    let hangs = probe(json!({})).unwrap();
    let command = hangs.exec.unwrap().command.unwrap();
    assert_eq!((command[0].as_str(), command.last().unwrap().as_str()), ("python", "8787"));
    let patience = hangs.period_seconds.unwrap() * hangs.failure_threshold.unwrap();
    assert_eq!(patience, 900, "a large graph keeps it busy for minutes");
    assert_eq!(probe(json!({"entrypoint": "Image"})), None);
}

/// As manifests for another operator have it.
#[rstest]
#[case(json!({"name": "worker", "args": ["dask-worker", "--nthreads", "4"]}), Some("[worker].args"))]
#[case(json!({"name": "worker", "args": ["dask", "worker", "tcp://x:8786"]}), Some("[worker].args"))]
#[case(json!({"name": "dask-worker", "resources": {}}), Some("[dask-worker]"))]
#[case(json!({"name": "main", "command": ["dask", "worker"]}), Some("[main]"))]
#[case(json!({"name": "main", "args": ["dask-worker", "$(DASK_SCHEDULER_ADDRESS)"]}), Some("[main]"))]
#[case(json!({"name": "worker", "args": ["--name", "x"]}), Some(""))]
#[case(json!({"name": "worker", "args": ["--nworkers=4"]}), Some(""))]
#[case(json!({"name": "worker", "args": ["--nthreads", "4"]}), None)]
#[case(json!({"name": "worker", "command": ["dask", "worker", "--name", "$(DASK_WORKER_NAME)"]}), None)]
#[case(json!({"name": "log", "image": "fluent-bit", "args": ["tail"]}), None)]
fn a_template_that_starts_dask_itself_is_refused(#[case] container: Value, #[case] at: Option<&str>) {
    let template = json!({"spec": {"containers": [container]}});
    let cluster = cluster(&json!({"workers": {"template": template}}));
    let made = worker::pod(&cluster, Site::Kubernetes, None, ("default", &cluster.spec.workers), 7);
    let field = made.err().map(|fault| fault.field);
    let prefix = "spec.workers.template";
    let expected = at.map(|at| match at {
        "" => prefix.to_owned(),
        at => format!("{prefix}.spec.containers{at}"),
    });
    assert_eq!(field, expected);
}

#[test]
fn the_entrypoint_of_the_image_starts_dask_as_the_template_says() {
    let arguments =
        json!(["dask", "cuda", "worker", "$(DASK_SCHEDULER_ADDRESS)", "--name", "$(DASK_WORKER_NAME)"]);
    let template = json!({"spec": {"containers": [{"name": "worker", "args": arguments}]}});
    let cluster = cluster(&json!({"entrypoint": "Image", "workers": {"template": template}}));
    worker::pod(&cluster, Site::Kubernetes, None, ("default", &cluster.spec.workers), 7).unwrap();
}

#[test]
fn probes_and_the_address_follow_the_prefix_and_https() {
    let of = |spec: Value| {
        let cluster = cluster(&spec);
        let pod = scheduler::pod(&cluster, Site::Kubernetes, None).unwrap().spec.unwrap();
        let probe = pod.containers[0].readiness_probe.clone().unwrap().http_get.unwrap();
        let address = Pages::of_scheduler(&cluster.spec).status_of(&Site::Kubernetes.dashboard(("n", "a")));
        (probe.scheme, probe.path.unwrap(), address)
    };
    let plain = of(json!({}));
    assert_eq!(plain, (None, "/health".into(), "http://a-scheduler.n.svc:8787/status".into()));
    let prefix = of(json!({"scheduler": {"args": ["--dashboard-prefix", "/team/a/"]}}));
    assert_eq!(prefix, (None, "/team/a/health".into(), "http://a-scheduler.n.svc:8787/team/a/status".into()));
    let https = of(json!({"env": [{"name": DASHBOARD_CERTIFICATE, "value": "/tls.crt"}]}));
    assert_eq!(
        https,
        (Some("HTTPS".into()), "/health".into(), "https://a-scheduler.n.svc:8787/status".into())
    );
}

#[test]
fn probes_of_workers_follow_them_too() {
    let of = |spec: Value| {
        let cluster = cluster(&spec);
        let pod = worker::pod(&cluster, Site::Kubernetes, None, ("default", &cluster.spec.workers), 7)
            .unwrap()
            .spec
            .unwrap();
        let probe = pod.containers[0].readiness_probe.clone().unwrap().http_get.unwrap();
        (probe.scheme, probe.path.unwrap())
    };
    let variable = json!([{"name": DASHBOARD_CERTIFICATE, "value": "/tls.crt"}]);
    let https = (Some("HTTPS".to_owned()), "/health".to_owned());
    assert_eq!(of(json!({"env": variable})), https);
    let within = |name: &str| json!({"spec": {"containers": [{"name": name, "env": variable}]}});
    assert_eq!(of(json!({"workers": {"template": within("worker")}})), https);
    assert_eq!(of(json!({"podDefaults": within("*")})), https);
    // That of the scheduler's own template is not the workers'.
    assert_eq!(of(json!({"scheduler": {"template": within("scheduler")}})), (None, "/health".into()));
    let prefix = json!({"workers": {"args": ["--dashboard-prefix=/w"]}});
    assert_eq!(of(prefix), (None, "/w/health".into()));
}

#[rstest]
#[case(json!({"env": [{"name": "EXTRA_PIP_PACKAGES", "value": "s3fs"}]}), Some("spec.env[EXTRA_PIP_PACKAGES]"))]
#[case(json!({"env": [{"name": "EXTRA_PIP_PACKAGES", "value": "s3fs"}], "entrypoint": "Image"}), None)]
#[case(json!({"env": [{"name": "EXTRA_LUCK", "value": "1"}]}), None)]
#[case(
    json!({"podDefaults": {"spec": {"containers": [{"name": "*", "env": [{"name": "EXTRA_APT_PACKAGES", "value": "git"}]}]}}}),
    Some("spec.podDefaults")
)]
#[case(
    json!({"workers": {"template": {"spec": {"containers": [{"name": "worker", "env": [{"name": "EXTRA_CONDA_PACKAGES", "value": "a"}]}]}}}}),
    Some("spec.workers.template")
)]
#[case(
    json!({"workers": {"template": {"spec": {"containers": [{"name": "log", "env": [{"name": "EXTRA_CONDA_PACKAGES", "value": "a"}]}]}}}}),
    None
)]
fn packages_that_nobody_installs_are_reported(#[case] spec: Value, #[case] field: Option<&str>) {
    let found = crate::plan::cluster::violations(&cluster(&spec));
    assert_eq!(found.first().map(|fault| fault.field.as_str()), field, "{found:?}");
    assert!(found.iter().all(|fault| fault.message.contains("set entrypoint: Image")), "{found:?}");
}

#[test]
fn a_container_runs_its_words_as_command_or_as_arguments() {
    let words = || vec!["python".to_owned()];
    let mut plain = container::container("a", "i", None);
    container::run(&mut plain, words(), None);
    assert_eq!((plain.command, plain.args), (Some(words()), None));
    let mut image = container::container("a", "i", None);
    container::run(&mut image, words(), Some(Entrypoint::Image));
    assert_eq!((image.command, image.args), (None, Some(words())));
}
