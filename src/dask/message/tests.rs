//! Tests of what messages say: captured answers, odd ones, and laws that hold for any bytes.
use super::*;
use proptest::prelude::*;
use serde_json::json;

/// A value in MessagePack, for answers made up here.
fn packed(value: &serde_json::Value) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

/// The start of the answer to `identity`, up to the metrics that have arrays for keys.
fn identity_with_array_keys() -> Vec<u8> {
    let mut bytes =
        b"\x83\xa2id\xabScheduler-1\xa4type\xa9Scheduler\xa7workers\x81\xb4tcp://127.0.0.1:1000".to_vec();
    bytes.extend(b"\x83\xa4name\x00\xa8nthreads\x02\xa7metrics\x81\xbddigests_total_since_heartbeat");
    // {["execute", "slow"]: 1.5}
    bytes.extend(b"\x81\x92\xa7execute\xa4slow\xcb\x3f\xf8\0\0\0\0\0\0");
    bytes
}

#[test]
fn a_request_is_written_as_captured() {
    let expected = b"\x82\xa2op\xa6ncores\xa5reply\xc3";
    assert_eq!(encode_request("ncores", &NoArguments {}).unwrap(), expected);
}

#[test]
fn arguments_stand_beside_the_operation_and_names_are_text() {
    let retirement = Retirement::of([WorkerName::Int(0), WorkerName::from("w1")]);
    let value: serde_json::Value =
        rmp_serde::from_slice(&encode_request("retire_workers", &retirement).unwrap()).unwrap();
    let expected = json!({"op": "retire_workers", "reply": true, "names": ["0", "w1"],
        "close_workers": true, "remove": true});
    assert_eq!(value, expected);
}

#[test]
fn our_handshake_has_the_keys_that_every_version_demands() {
    let value: serde_json::Value = rmp_serde::from_slice(&encode_handshake().unwrap()).unwrap();
    assert_eq!(value, json!({"compression": null, "python": [3, 0, 0], "pickle-protocol": 4}));
}

#[test]
fn a_handshake_is_told_from_other_messages() {
    assert!(is_handshake(b"\x83\xabcompression\xc0\xa6python\x93\x03\x0b\x07\xafpickle-protocol\x05"));
    assert!(is_handshake(&packed(
        &json!({"compression": "lz4", "pickle-protocol": 5, "future": {"a": [1]}})
    )));
    for other in [json!({}), json!(null), json!("OK"), json!([1, 2]), json!({"pickle-protocol": null})] {
        assert!(!is_handshake(&packed(&other)), "{other}");
    }
}

#[test]
fn a_map_of_threads_is_read_as_captured() {
    let mut bytes = b"\x82\xb5tcp://127.0.0.1:35799\x01".to_vec();
    bytes.extend(b"\xb5tcp://127.0.0.1:39429\x01");
    let ncores: BTreeMap<String, u64> = decode_reply(&bytes).unwrap();
    assert_eq!(ncores.into_iter().next(), Some(("tcp://127.0.0.1:35799".to_owned(), 1)));
}

#[test]
fn a_failure_is_told_by_its_best_text() {
    let new = json!({"status": "uncaught-error", "exception": {"__Serialized__": 1}, "traceback": null,
        "text": "bare", "exception_text": "TypeError(\"unexpected keyword\")", "traceback_text": "  File …"});
    let old = json!({"status": "uncaught-error", "text": "bare"});
    let bare = json!({"status": "uncaught-error"});
    for (value, part) in [(new, "TypeError"), (old, "bare"), (bare, "does not say")] {
        let error = decode_reply::<Identity>(&packed(&value)).unwrap_err();
        assert!(matches!(&error, ReplyError::Remote { text } if text.contains(part)), "{error:?}");
    }
    let long = json!({"status": "uncaught-error", "exception_text": "é".repeat(4000)});
    let error = decode_reply::<u64>(&packed(&long)).unwrap_err();
    assert!(matches!(error, ReplyError::Remote { text } if text == "é".repeat(500)));
}

#[test]
fn a_status_of_another_meaning_is_no_failure() {
    let value = packed(&json!({"status": "running", "text": "x"}));
    assert_eq!(decode_reply::<BTreeMap<String, String>>(&value).unwrap().len(), 2);
}

#[test]
fn nil_is_an_unknown_operation_unless_nil_is_a_value() {
    assert!(matches!(decode_reply::<BTreeMap<String, u64>>(&NIL), Err(ReplyError::Nil)));
    assert!(matches!(decode_reply::<u64>(&NIL), Err(ReplyError::Nil)));
    assert!(matches!(decode_reply::<Names>(&NIL), Err(ReplyError::Nil)));
    assert_eq!(decode_reply::<Option<f64>>(&NIL).unwrap(), None);
    assert_eq!(decode_reply::<Option<f64>>(&packed(&json!(1.5))).unwrap(), Some(1.5));
    assert!(matches!(decode_reply::<u64>(&packed(&json!("OK"))), Err(ReplyError::Shape(_))));
}

#[test]
fn metrics_with_arrays_for_keys_do_not_hurt() {
    let identity: Identity = decode_reply(&identity_with_array_keys()).unwrap();
    let worker = &identity.workers["tcp://127.0.0.1:1000"];
    assert_eq!((&worker.name, worker.nthreads), (&WorkerName::Int(0), 2));
}

#[test]
fn fields_of_another_kind_than_expected_are_empty() {
    let value = json!({"id": "Scheduler-1", "workers": {"tcp://a:1": {
        "name": {"x": 1}, "host": 5, "nthreads": "two", "memory_limit": 512e6, "resources": {"GPU": 1, "odd": "x"},
        "status": {"__Enum__": true, "name": "running", "__module__": "distributed.core", "__name__": "Status"},
        "services": {"dashboard": 44379, "nanny": null, "wide": 70000}, "nanny": null, "new": [1]}}});
    let identity: Identity = decode_reply(&packed(&value)).unwrap();
    let expected = WorkerInfo {
        name: WorkerName::Other,
        host: None,
        nthreads: 0,
        memory_limit: 512_000_000,
        resources: BTreeMap::from([("GPU".to_owned(), 1.0)]),
        status: Some("running".to_owned()),
        services: BTreeMap::from([("dashboard".to_owned(), 44379)]),
        nanny: None,
        running: None,
        last_seen: None,
    };
    assert_eq!(identity.workers["tcp://a:1"], expected);
}

#[test]
fn totals_are_the_schedulers_own_or_counted() {
    let told = json!({"id": "s", "workers": {}, "n_workers": 2, "total_threads": 3, "total_memory": 4});
    let listed =
        json!({"id": "s", "workers": {"a": {"nthreads": 1, "memory_limit": 4}, "b": {"nthreads": 2}}});
    for value in [told, listed] {
        let identity: Identity = decode_reply(&packed(&value)).unwrap();
        assert_eq!(identity.totals(), Totals { workers: 2, threads: 3, memory: 4 });
    }
}

#[test]
fn names_come_in_lists_and_in_sets() {
    let expected = vec![WorkerName::Str("w1".to_owned()), WorkerName::Int(7), WorkerName::Other];
    for value in [json!(["w1", 7, 1.5]), json!({"__Set__": true, "as-list": ["w1", 7, [1]]})] {
        assert_eq!(decode_reply::<Names>(&packed(&value)).unwrap().0, expected);
    }
    assert!(decode_reply::<Names>(&packed(&json!({"other": []}))).is_err());
}

#[test]
fn tasks_are_counted_whatever_their_keys_are() {
    let value = json!({"tcp://a:1": ["slow-1", ["x", 0, 1]], "tcp://b:1": [], "tcp://c:1":
        {"__Set__": true, "as-list": [1, 2, 3]}});
    let counts: TaskCounts = decode_reply(&packed(&value)).unwrap();
    let counts: Vec<u64> = counts.0.into_values().map(|count| count.0).collect();
    assert_eq!(counts, [2, 0, 3]);
}

#[test]
fn versions_need_that_of_distributed_only() {
    let value = json!({"host": {"python": "3.11.7.final.0"},
        "packages": {"python": "3.11.7.final.0", "distributed": "2022.02.0", "lz4": null}});
    let versions: Versions = decode_reply(&packed(&value)).unwrap();
    assert_eq!(versions.distributed, Version::new(2022, 2, 0));
    assert_eq!(versions.packages.len(), 2);
    for packages in [json!({}), json!({"distributed": null}), json!({"distributed": "unknown"})] {
        let bad = packed(&json!({ "packages": packages }));
        assert!(matches!(decode_reply::<Versions>(&bad), Err(ReplyError::Shape(_))));
    }
}

#[test]
fn events_are_read_and_unknown_ones_passed_over() {
    let value = json!([
        ["add", {"workers": {"tcp://a:1": {"name": "s1", "status": "init"}}}],
        ["remove", "tcp://b:1"],
        ["rename", "tcp://a:1", {"to": 1}],
        {"op": "something"},
    ]);
    let events = decode_events(&packed(&value)).unwrap();
    assert!(matches!(&events[0], SubscribeEvent::Added(workers) if workers["tcp://a:1"].name == "s1".into()));
    assert_eq!(events[1], SubscribeEvent::Removed("tcp://b:1".to_owned()));
    assert_eq!(events[2..], [SubscribeEvent::Other, SubscribeEvent::Other]);
    for bad in [json!([["remove"]]), json!([["add", 1]]), json!("OK"), json!([["remove", 1]])] {
        assert!(decode_events(&packed(&bad)).is_err(), "{bad}");
    }
}

#[test]
fn lists_in_lists_without_end_are_refused() {
    for open in [b"\x91".as_slice(), b"\x81\xa1a", b"\x81\xa6status", b"\x81\xa7workers"] {
        let bytes = open.repeat(10_000);
        assert!(decode_reply::<Identity>(&bytes).is_err());
        assert!(decode_reply::<serde_json::Value>(&bytes).is_err());
        assert!(decode_events(&bytes).is_err());
        assert!(!is_handshake(&bytes));
    }
}

#[test]
fn a_list_that_announces_more_than_it_has_is_refused_at_once() {
    let bytes = b"\xdd\xff\xff\xff\xff\xc0";
    assert!(decode_events(bytes).is_err());
    assert!(decode_reply::<Names>(bytes).is_err());
    assert!(decode_reply::<BTreeMap<String, u64>>(b"\xdf\xff\xff\xff\xff\xa1a\x01").is_err());
}

/// Values that look like answers, broken at random places.
fn nearly_an_answer() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop::sample::select(vec![
        identity_with_array_keys(),
        packed(&json!([["add", {"workers": {"a": {"name": "s"}}}], ["remove", "b"]])),
        packed(&json!({"status": "uncaught-error", "exception_text": "x", "traceback": null})),
        packed(&json!({"packages": {"distributed": "2026.8.0"}})),
        packed(&json!({"__Set__": true, "as-list": ["w1", 7]})),
    ]);
    (whole, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)).prop_map(
        |(mut bytes, hits)| {
            for (at, byte) in hits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), nearly_an_answer()],
    ) {
        let _ = decode_reply::<Identity>(&bytes);
        let _ = decode_reply::<Versions>(&bytes);
        let _ = decode_reply::<Names>(&bytes);
        let _ = decode_reply::<TaskCounts>(&bytes);
        let _ = decode_reply::<Option<f64>>(&bytes);
        let _ = decode_events(&bytes);
        let _ = is_handshake(&bytes);
    }

    #[test]
    fn a_worker_name_is_read_back_as_the_text_it_is_sent_as(number: i64, text in ".{0,20}") {
        for name in [WorkerName::Int(number), WorkerName::Str(text.clone())] {
            let sent = rmp_serde::to_vec_named(&name).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<WorkerName>(&sent).unwrap(), name.to_string().into());
        }
    }
}

/// A map of so many workers of which nothing is told.
fn crowd(workers: u32) -> Vec<u8> {
    let mut bytes = [vec![0xdf], workers.to_be_bytes().to_vec()].concat();
    for worker in 0..workers {
        bytes.push(0xa8);
        bytes.extend(format!("{worker:08x}").into_bytes());
        bytes.push(0x80);
    }
    bytes
}

#[test]
fn a_message_of_more_workers_than_any_cluster_has_is_refused() {
    let many = 20_001;
    let identity = [b"\x82\xa2id\xa1S\xa7workers".to_vec(), crowd(many)].concat();
    let error = decode_reply::<Identity>(&identity).unwrap_err();
    assert!(format!("{error:?}").contains("more than the 20000 entries that are accepted"), "{error:?}");
    let identity = [b"\x82\xa2id\xa1S\xa7workers".to_vec(), crowd(20_000)].concat();
    assert_eq!(decode_reply::<Identity>(&identity).unwrap().workers.len(), 20_000);
    assert!(decode_reply::<lenient::ByAddress<WorkerInfo>>(&crowd(many)).is_err());
    // A list of as many events, and of as many names.
    let list = |item: &[u8]| [vec![0xdd], many.to_be_bytes().to_vec(), item.repeat(many as usize)].concat();
    assert!(decode_events(&list(b"\x92\xa6remove\xa1a")).is_err());
    assert!(decode_reply::<Names>(&list(b"\xa1a")).is_err());
}

#[test]
fn many_events_of_many_workers_each_are_counted_together() {
    let event = [b"\x92\xa3add\x81\xa7workers".to_vec(), crowd(15_000)].concat();
    let batch = |events: usize| [vec![0x90 | u8::try_from(events).unwrap()], event.repeat(events)].concat();
    assert_eq!(decode_events(&batch(1)).unwrap().len(), 1);
    assert!(decode_events(&batch(2)).is_err());
}

#[test]
fn texts_that_are_kept_have_the_length_of_names() {
    let long = "x".repeat(301);
    assert!(decode_reply::<Identity>(&packed(&json!({"id": long, "workers": {}}))).is_err());
    let fits =
        decode_reply::<Identity>(&packed(&json!({"id": "S", "workers": {"x".repeat(300): {}}}))).unwrap();
    assert_eq!(fits.workers.len(), 1);
    assert!(decode_reply::<Identity>(&packed(&json!({"id": "S", "workers": {&long: {}}}))).is_err());
    assert!(decode_events(&packed(&json!([["add", {"workers": {&long: {}}}]]))).is_err());
    assert!(decode_events(&packed(&json!([["remove", long]]))).is_err());
}

#[test]
fn of_the_details_of_a_worker_only_so_many_are_kept() {
    let resources: serde_json::Map<_, _> = (0..1000).map(|n| (format!("r{n}"), json!(1.0))).collect();
    let worker: WorkerInfo =
        decode_reply(&packed(&json!({"name": "w", "resources": resources, "host": "h".repeat(1000)})))
            .unwrap();
    assert_eq!(worker.resources.len(), 16);
    assert_eq!(worker.host, None);
}
