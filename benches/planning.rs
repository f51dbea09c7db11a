//! What deciding costs: one look at an object, one question to a clock of each kind, a cluster of a thousand
//! workers, the costliest question that is known, and ten thousand Flows after an outage. No cluster is
//! involved.
//!
//! `make bench` prints the median of the rounds, in microseconds. Not run by `cargo bench`, everything is
//! done once or twice: whether it works.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use croner::parser::{CronParser, Seconds, Year};
use daskflow::api::common::NameRef;
use daskflow::api::flow::{ClockEntry, ClusterSource, Schedule};
use daskflow::api::interval::parse_interval;
use daskflow::api::{DaskCluster, DaskClusterSpec, Flow, FlowSpec};
use daskflow::plan::cluster::SchedulerView;
use daskflow::plan::pods::{scheduler, state, worker};
use daskflow::plan::schedule::{Adjustment, Clock, ClockSpec, DateSpan, Day, TickFilter, TimeSpan, Timing};
use daskflow::plan::site::Site;
use daskflow::plan::{Step, Wants, cluster, flow};
use jiff::tz::TimeZoneDatabase;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

const ROUNDS: u32 = 21;
const PLANS: u32 = 1_000;
const FLOWS: u32 = 10_000;
const WORKERS: i32 = 1_000;
const PLANS_OF_MANY_WORKERS: u32 = 20;
const HOSTILE: u32 = u32::MAX;
const ZONE: &str = "Europe/Paris";

/// What no question may take.
const QUESTION_MAX: Duration = Duration::from_millis(10);

const TEXTS: &str = include_str!("../tests/schedule/hostile.txt");
const FILTERS: &str = include_str!("../tests/schedule/hostile_filters.jsonl");

/// So many where it measures, as `cargo bench` has it.
fn size(full: u32) -> u32 {
    if std::env::args().any(|argument| argument == "--bench") { full } else { full.min(2) }
}

fn main() {
    let now: Timestamp = "2026-12-01T09:00:30Z".parse().unwrap();
    plans(now);
    many_workers(now);
    clocks(now);
    hostile();
    outage(now);
}

fn plans(now: Timestamp) {
    let clocks = [("interval", entry(|it| it.interval = Some("1m".into()))), ("cron in a zone", cron())];
    for (name, clock) in clocks {
        let mut subject = scheduled(vec![clock], now);
        let observed = flow::Observed { cluster_exists: true, ..flow::Observed::default() };
        subject.status = Some(flow::plan(&subject, &observed, now).status);
        let at_rest = median(|| flow::plan(black_box(&subject), &observed, now));
        println!("a Flow at rest, {name}: {at_rest:.1} us");
        let a_day_later = now + SignedDuration::from_hours(24);
        let outage = median(|| flow::plan(black_box(&subject), &observed, a_day_later));
        println!("a Flow after an outage of a day, {name}: {outage:.1} us");
    }
    let mut subject = DaskCluster::new(
        "analytics",
        DaskClusterSpec { image: "flows:1".into(), ..DaskClusterSpec::default() },
    );
    subject.spec.workers.replicas = Some(10);
    let observed = cluster::Observed { known: Wants::ALL, ..cluster::Observed::default() };
    let new = median(|| cluster::plan(black_box(&subject), &observed, now));
    println!("a new DaskCluster of 10 workers: {new:.1} us");
}

/// A cluster of a thousand workers, all of them registered: one that stays as it is, and one whose spec now
/// asks for a single worker.
fn many_workers(now: Timestamp) {
    let spec = DaskClusterSpec { image: "flows:1".into(), ..DaskClusterSpec::default() };
    let mut subject = DaskCluster::new("analytics", spec);
    subject.metadata.namespace = Some("team".into());
    subject.metadata.uid = Some("7d1c".into());
    subject.metadata.generation = Some(1);
    subject.spec.workers.replicas = Some(WORKERS);
    let of_default = (worker::DEFAULT_GROUP, &subject.spec.workers);
    let workers: Vec<Arc<Pod>> = (1..=1_000)
        .map(|seed| running(worker::pod(&subject, Site::Kubernetes, None, of_default, seed).unwrap(), now))
        .collect();
    let names = || workers.iter().map(|pod| state::name(pod).to_owned());
    let mut observed = cluster::Observed {
        service: Some(Arc::new(scheduler::service(&subject, Site::Kubernetes))),
        known: Wants::ALL,
        scheduler: SchedulerView::Answering { workers: names().collect() },
        closable: Some(names().collect()),
        ..cluster::Observed::default()
    };
    observed.pods.clone_from(&workers);
    observed.pods.push(running(scheduler::pod(&subject, Site::Kubernetes, None).unwrap(), now));
    subject.status = Some(cluster::plan(&subject, &observed, now).status);
    let plan = cluster::plan(&subject, &observed, now);
    assert!(plan.steps.is_empty() && Some(&plan.status) == subject.status.as_ref(), "it is not at rest");
    let at_rest =
        median_of(size(PLANS_OF_MANY_WORKERS), || cluster::plan(black_box(&subject), &observed, now));
    println!("a DaskCluster of {WORKERS} workers at rest: {at_rest:.0} us");

    subject.spec.workers.replicas = Some(1);
    subject.metadata.generation = Some(2);
    let leaving = cluster::plan(&subject, &observed, now).steps.iter().map(leave).sum::<usize>();
    assert_eq!(leaving, 999, "those that are too many leave");
    let shrinking =
        median_of(size(PLANS_OF_MANY_WORKERS), || cluster::plan(black_box(&subject), &observed, now));
    println!("a DaskCluster of {WORKERS} workers of which {leaving} leave: {shrinking:.0} us");
}

/// How many workers leave by this step.
fn leave(step: &Step) -> usize {
    match step {
        Step::Retire { workers } => workers.len(),
        _ => 0,
    }
}

/// The pod as the kubelet tells of it when it runs.
fn running(mut pod: Pod, now: Timestamp) -> Arc<Pod> {
    pod.metadata.creation_timestamp = Some(Time(now));
    let names = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| container.name.clone());
    let containers: Vec<_> = names
        .map(|name| serde_json::json!({"name": name, "ready": true, "state": {"running": {}}}))
        .collect();
    let status =
        serde_json::json!({"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": containers});
    pod.status = Some(serde_json::from_value(status).unwrap());
    Arc::new(pod)
}

/// The next and the latest tick for each kind of clock, asked at a thousand instants of ten years.
fn clocks(now: Timestamp) {
    let day = |days: Vec<Day>| TickFilter { days, ..TickFilter::default() };
    let only = TickFilter {
        between: vec![TimeSpan { from: "09:00".into(), to: "17:00".into() }],
        ..day(vec![Day::Weekday])
    };
    let except = TickFilter {
        dates: vec![DateSpan { from: "12-24".into(), to: "01-02".into() }],
        ..day(vec![Day::MonthEnd])
    };
    let dates = (0..366).map(|day| now + SignedDuration::from_hours(24 * 10 * day)).collect();
    let plain = [
        ("interval, elapsed (5m)", parse_interval("5m").unwrap().into()),
        ("interval, calendar (1mo)", parse_interval("1mo").unwrap().into()),
        ("cron, fixed (30 2 * * 1-5)", Timing::Cron("30 2 * * 1-5".into())),
        ("cron, repeating (*/5 8-18 * * 1-5)", Timing::Cron("*/5 8-18 * * 1-5".into())),
        ("cron, rare (0 0 29 2 *)", Timing::Cron("0 0 29 2 *".into())),
        ("rrule, simple (weekly)", Timing::Rrule("FREQ=WEEKLY;BYDAY=MO,TH;BYHOUR=9".into())),
        (
            "rrule, hard (yearly BYSETPOS)",
            Timing::Rrule("FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYSETPOS=1,-1".into()),
        ),
        ("dates (366)", Timing::Dates(dates)),
    ];
    println!("a question to a clock in {ZONE}, in us: next tick, latest tick, the next tick by croner");
    for (name, timing) in plain {
        measure(name, &ClockSpec::new("c", timing, ZONE), now);
    }
    let timing = || Timing::Cron("*/5 * * * *".into());
    measure("cron (*/5 * * * *), unfiltered", &ClockSpec::new("c", timing(), ZONE), now);
    let filtered =
        ClockSpec { only: Some(&only), except: Some(&except), ..ClockSpec::new("c", timing(), ZONE) };
    measure("cron (*/5 * * * *), only and except", &filtered, now);
    let moved = ClockSpec { adjust: Some(Adjustment::NextWeekday), ..filtered };
    measure("cron (*/5 * * * *), also adjust", &moved, now);
}

fn measure(name: &str, spec: &ClockSpec<'_>, now: Timestamp) {
    let clock = Clock::parse(spec).unwrap();
    // Now on the hour, now not; over all days of a week and months of a year.
    let instants: Vec<Timestamp> =
        (0..1_000).map(|n| now + SignedDuration::from_secs(n * 315_211 + n % 7)).collect();
    let mut turn = instants.iter().cycle();
    let next = median(|| clock.next_after(*turn.next().unwrap()));
    let latest = median(|| clock.latest_in(Timestamp::MIN, *turn.next().unwrap()));
    let (Timing::Cron(text), None) = (&spec.timing, spec.only) else {
        return println!("  {name}: {next:.2}, {latest:.2}");
    };
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Optional).build();
    let peer = parser.parse(text).unwrap();
    let zone = TimeZoneDatabase::bundled().get(ZONE).unwrap();
    let zoned: Vec<_> = instants.iter().map(|t| t.to_zoned(zone.clone())).collect();
    let mut turn = zoned.iter().cycle();
    let theirs = median(|| peer.find_next_occurrence(turn.next().unwrap(), false));
    println!("  {name}: {next:.2}, {latest:.2}, {theirs:.2}");
}

/// The costliest question of the clocks that were made to cost time; reading a clock asks up to three.
fn hostile() {
    let mut slowest =
        [("a question", Duration::ZERO, String::new()), ("reading a clock", Duration::ZERO, String::new())];
    let mut asked = 0;
    let mut keep = |place: usize, took: Duration, what: &dyn Fn() -> String| {
        if let Some(slot) = slowest.get_mut(place).filter(|slot| took > slot.1) {
            (slot.1, slot.2) = (took, what());
        }
    };
    let texts = TEXTS.lines().filter(|line| !line.starts_with('#')).take(size(HOSTILE) as usize);
    for text in texts {
        let timing = text
            .strip_prefix("cron:")
            .map_or_else(|| Timing::Rrule(text.replace("\\n", "\n")), |cron| Timing::Cron(cron.to_owned()));
        for (zone, filter) in ["America/New_York", "Africa/Casablanca", "Pacific/Apia"]
            .into_iter()
            .flat_map(|zone| FILTERS.lines().map(move |filter| (zone, filter)))
        {
            let (only, except, adjust): (Option<TickFilter>, Option<TickFilter>, Option<Adjustment>) =
                serde_json::from_str(filter).unwrap();
            let (only, except) = (only.as_ref(), except.as_ref());
            let spec = ClockSpec { only, except, adjust, ..ClockSpec::new("c", timing.clone(), zone) };
            let what = |t: &str| format!("{text:.60} {t} in {zone} with {filter:.60}");
            keep(1, least(|| Clock::parse(&spec)), &|| what(""));
            let Ok(clock) = Clock::parse(&spec) else { continue };
            for t in ["2027-03-14T12:00:00Z", "1969-12-31T23:59:59Z", "9999-12-01T00:00:00Z"] {
                let at: Timestamp = t.parse().unwrap();
                let next = least(|| clock.next_after(at));
                let latest = least(|| clock.latest_in(Timestamp::MIN, at));
                asked += 2;
                keep(0, next.max(latest), &|| what(t));
            }
        }
    }
    for (kind, took, what) in &slowest {
        println!("the slowest of the hostile corpus, {kind}: {:.2} ms: {what}", took.as_secs_f64() * 1e3);
    }
    let [(_, question, _), _] = &slowest;
    let verdict = if *question < QUESTION_MAX { "all" } else { "NOT all" };
    println!("{asked} hostile questions, {verdict} under {QUESTION_MAX:?}");
}

/// The least of three goes: what the work takes, without what else the machine does.
fn least<T>(call: impl Fn() -> T) -> Duration {
    let once = || {
        let start = Instant::now();
        let answer = black_box(call());
        let took = start.elapsed();
        drop(answer);
        took
    };
    (0..3).map(|_| once()).min().unwrap_or_default()
}

/// Ten thousand Flows that nobody looked at for a day.
fn outage(now: Timestamp) {
    let clocks = || {
        let (minutely, five) =
            (entry(|it| it.cron = Some("* * * * *".into())), entry(|it| it.interval = Some("5m".into())));
        vec![minutely, ClockEntry { name: "d".into(), ..five }]
    };
    let observed = flow::Observed { cluster_exists: true, ..flow::Observed::default() };
    let count = size(FLOWS);
    let flows: Vec<Flow> = (0..count)
        .map(|n| {
            let mut subject = scheduled(clocks(), now);
            subject.metadata.name = Some(format!("etl-{n}"));
            subject.status = Some(flow::plan(&subject, &observed, now).status);
            subject
        })
        .collect();
    let a_day_later = now + SignedDuration::from_hours(24);
    let start = Instant::now();
    for subject in &flows {
        drop(black_box(flow::plan(black_box(subject), &observed, a_day_later)));
    }
    let took = start.elapsed().as_secs_f64();
    let each = took * 1e6 / f64::from(count);
    println!("{count} Flows after an outage of a day, two clocks each: {took:.2} s, {each:.1} us for each");
}

fn entry(timing: impl FnOnce(&mut ClockEntry)) -> ClockEntry {
    let mut entry = ClockEntry { name: "c".into(), ..ClockEntry::default() };
    timing(&mut entry);
    entry
}

fn cron() -> ClockEntry {
    entry(|it| it.cron = Some("*/5 8-18 * * 1-5".into()))
}

fn scheduled(clocks: Vec<ClockEntry>, created: Timestamp) -> Flow {
    let spec = FlowSpec {
        cluster: ClusterSource {
            ref_: Some(NameRef { name: "analytics".into() }),
            ..ClusterSource::default()
        },
        schedule: Some(Schedule { time_zone: Some(ZONE.into()), clocks, ..Schedule::default() }),
        ..FlowSpec::default()
    };
    let mut flow = Flow::new("etl", spec);
    flow.metadata.creation_timestamp = Some(Time(created));
    flow
}

/// Microseconds for one call, the median of the rounds.
fn median<T>(call: impl FnMut() -> T) -> f64 {
    median_of(size(PLANS), call)
}

/// The same, with so many calls in each round.
fn median_of<T>(calls: u32, mut call: impl FnMut() -> T) -> f64 {
    let mut rounds: Vec<f64> = (0..size(ROUNDS))
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| drop(black_box(call())));
            start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}
