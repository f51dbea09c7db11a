//! Probes of startup and liveness.

use super::*;

/// What of the world's events is about this pod: reasons and messages.
async fn events(world: &World, pod: &str) -> Vec<(String, String)> {
    let events: Api<Event> = Api::default_namespaced(world.client.clone());
    let about = ListParams::default().fields(&format!("involvedObject.name={pod}"));
    let all = events.list(&about).await.unwrap().items.into_iter();
    all.map(|event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default())).collect()
}

fn restarts(pod: &Pod) -> i32 {
    state::container(pod, "main").map(|container| container.restart_count).unwrap_or_default()
}

fn has_started(pod: &Pod) -> bool {
    state::container(pod, "main").and_then(|container| container.started).unwrap_or_default()
}

fn is_ready(pod: &Pod) -> bool {
    state::container(pod, "main").is_some_and(|container| container.ready)
}

/// A probe that runs a script of the shell, each second.
fn command(script: &str, failures: i32) -> Value {
    json!({
        "exec": {"command": ["python", "-c", script]},
        "periodSeconds": 1, "failureThreshold": failures, "timeoutSeconds": 30,
    })
}

#[tokio::test]
async fn a_container_that_lives_no_more_is_ended_and_started_again() {
    let world = World::new("liveness");
    let step = json!({"preStop": {"exec": {"command": ["python", "-c", "echo step > /flows/step"]}}});
    let container = json!({"livenessProbe": command("test ! -e /flows/sick", 2), "lifecycle": step});
    let script = "trap 'rm /flows/sick; exit 0' TERM; while :; do sleep 0.1; done";
    world.create("liveness", script, "OnFailure", container).await;
    world.until("liveness", |pod| state::runs(pod, "main") && is_ready(pod)).await;
    std::fs::write(world.place.join("sick"), "").unwrap();
    let again = world.until("liveness", |pod| restarts(pod) == 1 && state::runs(pod, "main")).await;
    let end = state::last_end(&again, "main").unwrap();
    assert_eq!((end.exit_code, end.reason.as_deref()), (0, Some("Completed")), "it ended as it wanted to");
    assert_eq!(read(&world.place.join("step")).await, "step");
    let said = events(&world, "liveness").await;
    for wanted in [
        ("Unhealthy", "Liveness probe failed: the command ended with 1"),
        ("Killing", "Container main failed liveness probe, will be restarted"),
    ] {
        let wanted = (wanted.0.to_owned(), wanted.1.to_owned());
        assert!(said.contains(&wanted), "{wanted:?} is missing in {said:?}");
    }
    world.kubelet.end().await;
}

/// It takes no notice of SIGTERM, and its probe gives it a second.
#[tokio::test]
async fn one_that_is_not_started_again_has_failed() {
    let world = World::new("liveness-once");
    let mut probe = command("false", 1);
    probe["terminationGracePeriodSeconds"] = json!(1);
    let script = "trap '' TERM; while :; do sleep 0.1; done";
    world.create("once", script, "Never", json!({"livenessProbe": probe})).await;
    let pod = world.until("once", |pod| phase(pod) == "Failed").await;
    let end = state::terminated(&pod, "main").unwrap();
    assert_eq!((end.exit_code, end.reason.as_deref(), restarts(&pod)), (137, Some("Error"), 0));
    let said = events(&world, "once").await;
    let killing = "Container main failed liveness probe".to_owned();
    assert!(said.contains(&("Killing".to_owned(), killing)), "{said:?}");
}

#[tokio::test]
async fn until_it_has_started_a_container_is_asked_for_nothing_else() {
    let world = World::new("startup");
    let container = json!({
        "startupProbe": command("echo asked >> /flows/asked; test -e /flows/up", 600),
        "readinessProbe": command("echo ready >> /flows/ready", 1),
        "livenessProbe": command("echo alive >> /flows/alive; test -e /flows/up", 1),
    });
    let pod = world.create("startup", "sleep 600", "Always", container).await;
    world.until("startup", |pod| state::runs(pod, "main") && !has_started(pod) && !is_ready(pod)).await;
    // Liveness would have failed by now, at its first answer.
    timeout(LIMIT, async {
        while std::fs::read_to_string(world.place.join("asked")).unwrap_or_default().lines().count() < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    for file in ["ready", "alive"] {
        assert!(!world.place.join(file).exists(), "{file} was asked");
    }
    std::fs::write(world.place.join("up"), "").unwrap();
    let pod_now = world.until("startup", |pod| has_started(pod) && is_ready(pod)).await;
    assert_eq!(restarts(&pod_now), 0);
    timeout(LIMIT, async {
        while !world.place.join("alive").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    world.pods().delete("startup", &DeleteParams::default()).await.unwrap();
    world.is_deleted(&pod).await;
}

#[tokio::test]
async fn one_that_does_not_start_is_ended_and_started_again() {
    let world = World::new("startup-late");
    // At a port at which nothing listens.
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let probe = json!({"tcpSocket": {"port": free}, "periodSeconds": 1, "failureThreshold": 2});
    world.create("late", "exec sleep 600", "Always", json!({"startupProbe": probe})).await;
    let pod = world.until("late", |pod| restarts(pod) > 0).await;
    assert_eq!(state::last_end(&pod, "main").unwrap().exit_code, 143);
    assert!(!has_started(&pod) && !is_ready(&pod));
    let said = events(&world, "late").await;
    let killing = "Container main failed startup probe, will be restarted".to_owned();
    assert!(said.contains(&("Killing".to_owned(), killing)), "{said:?}");
    world.kubelet.end().await;
}
