//! The Service in front of the scheduler.

use rstest::rstest;

use super::*;

fn with_service(service: Value) -> DaskCluster {
    let mut cluster = cluster(0);
    cluster.spec.scheduler.service = serde_json::from_value(service).unwrap();
    cluster
}

/// What is applied where `there` is the Service of.
fn applied(cluster: &DaskCluster, there: &DaskCluster) -> Option<Service> {
    let observed = Observed {
        service: Some(Arc::new(scheduler::service(there, Site::Kubernetes))),
        ..settled(cluster, 0)
    };
    plan(cluster, &observed, now()).steps.into_iter().find_map(|step| match step {
        Step::Apply(object) => match *object {
            Applied::Service(service) => Some(service),
            Applied::NetworkPolicy(_) => None,
        },
        _ => None,
    })
}

#[test]
fn what_is_taken_out_of_it_is_noticed() {
    let plain = with_service(json!({"type": "LoadBalancer"}));
    let narrow = with_service(json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}));
    assert_eq!(applied(&plain, &plain), None);
    let service = applied(&narrow, &plain).unwrap();
    assert_eq!(service.spec.unwrap().load_balancer_source_ranges, Some(vec!["10.0.0.0/8".to_owned()]));
    assert_eq!(applied(&narrow, &narrow), None);
    let service = applied(&plain, &narrow).unwrap();
    assert_eq!(service.spec.unwrap().load_balancer_source_ranges, None, "apply takes it away");
}

#[test]
fn a_port_that_somebody_else_added_is_left_alone() {
    let cluster = with_service(json!({}));
    let mut service = scheduler::service(&cluster, Site::Kubernetes);
    let mesh = json!({"name": "http-mesh", "port": 15_020});
    service.spec.as_mut().unwrap().ports.as_mut().unwrap().insert(0, serde_json::from_value(mesh).unwrap());
    let observed = Observed { service: Some(Arc::new(service)), ..settled(&cluster, 0) };
    assert_eq!(plan(&cluster, &observed, now()).steps, []);
}

#[rstest]
#[case::inside(json!({}), false, false)]
#[case::by_the_world(json!({"type": "LoadBalancer"}), false, true)]
#[case::on_each_node(json!({"type": "NodePort"}), false, true)]
#[case::by_some(json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}), false, false)]
#[case::with_tls(json!({"type": "LoadBalancer"}), true, false)]
fn a_scheduler_that_lets_anybody_run_code_is_reported(
    #[case] service: Value,
    #[case] tls: bool,
    #[case] expected: bool,
) {
    let mut cluster = with_service(service);
    cluster.spec.tls = tls.then(Default::default);
    let plan = plan(&cluster, &Observed { known: Wants::ALL, ..Observed::default() }, now());
    let told = plan.events.iter().any(|note| note.warning && note.reason == Reason::SchedulerExposed);
    assert_eq!(told, expected);
}
