//! Runs of a name that another one may have had a moment ago, which was deleted while its runner was at work.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use super::*;

/// The run as these have written it, each the object or one of its subresources.
fn written_by(mut run: FlowRun, writers: &[(&str, Option<&str>)]) -> FlowRun {
    let entry = |(manager, subresource): &(&str, Option<&str>)| ManagedFieldsEntry {
        manager: Some((*manager).to_owned()),
        subresource: subresource.map(str::to_owned),
        ..ManagedFieldsEntry::default()
    };
    run.metadata.managed_fields = Some(writers.iter().map(entry).collect());
    run
}

#[test]
fn the_job_of_a_run_that_no_clock_made_rests_on_the_runners_of_its_name() {
    let wants = |run: &FlowRun| plan(run, &observed(flow()), now()).wants;
    let by_clock = written_by(run(Phase::Provisioning), &[("daskflow", None), ("kubectl", Some("status"))]);
    assert_eq!(wants(&by_clock), Wants::OBJECT);
    let copied = written_by(run(Phase::Provisioning), &[("kubectl-replace", None), ("daskflow", None)]);
    let mut of_backfill = by_clock.clone();
    of_backfill.spec.backfill = Some("again".into());
    let mut by_hand = by_clock;
    by_hand.metadata.name = Some("etl-now".into());
    for run in [copied, of_backfill, by_hand] {
        assert_eq!(wants(&run), Wants::OBJECT | Wants::PODS, "{:?}", run.metadata);
    }
}

#[test]
fn the_runner_of_an_earlier_run_of_the_name_is_waited_for() {
    let running =
        ContainerState { running: Some(ContainerStateRunning::default()), ..ContainerState::default() };
    let observed = Observed { pod: Some(pod(running)), ..observed(flow()) };
    let waits = plan(&run(Phase::Provisioning), &observed, now());
    assert_eq!((created(&waits).len(), waits.status.phase), (0, Phase::Provisioning));
    // No cache may know of that pod.
    assert_eq!(waits.next, Next::After(Duration::from_secs(2)));
    let over = Observed { pod: Some(ended(143, "")), ..observed };
    assert_eq!(created(&plan(&run(Phase::Provisioning), &over, now())).len(), 2);
}
