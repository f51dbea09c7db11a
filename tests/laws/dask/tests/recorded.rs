//! What schedulers here answer, beside what a real one of 2026.8.0 did (`tests/dask/frames`): each member
//! that is told is one of its own, and of the same kind.

use daskflow::dask::frame::{Decoder, Limits};
use serde_json::json;

use super::super::answers::{self, Detail};
use super::*;

/// Members whose own members are names or addresses.
const BY_NAME: [&str; 7] = ["", "workers", "task_groups", "clients", "tasks", "packages", "task_counts"];

/// The first frame of a recorded message.
fn recorded(mut bytes: &[u8]) -> Value {
    let message = Decoder::new(Limits::default()).decode(&mut bytes).unwrap().unwrap();
    rmp_serde::from_slice(&message.payload).unwrap()
}

/// Fails unless what is told has the shape of what was recorded.
fn compare(told: &Value, recorded: &Value, member: &str) {
    match (told, recorded) {
        (Value::Object(told), Value::Object(recorded)) => {
            for (name, value) in told {
                let any = recorded.values().next().filter(|_| BY_NAME.contains(&member));
                let like = recorded.get(name).or(any);
                let like = like.unwrap_or_else(|| panic!("{member:?} has no {name:?} in real answers"));
                compare(value, like, name);
            }
        }
        (Value::Array(told), Value::Array(recorded)) => {
            for value in told {
                compare(value, recorded.last().expect("a list that was recorded has something"), member);
            }
        }
        // Workers of that record have numbers for names; ours have texts, as pods do.
        (Value::String(_), Value::Number(_)) if !["id", "name", "workers_to_close"].contains(&member) => {
            panic!("{member:?} is the text {told} here, and {recorded} in real answers")
        }
        (Value::Number(_) | Value::String(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Null, _)
        | (_, Value::Null) => {}
        _ => panic!("{member:?} is {told} here, and {recorded} in real answers"),
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_shaped_like_recorded_ones() {
    let schedulers = three();
    schedulers.change(PLACE, |state| {
        state.compute(0);
        state.tasks_end();
        (state.queued, state.unrunnable) = (1, 1);
        state.workers.get_mut("a").unwrap().resources.insert("GPU".to_owned(), 1.0);
        state.compute(1);
        state.clients.insert("Client-1".to_owned());
    });
    let state = schedulers.at(PLACE).unwrap();
    let nothing = json!({});
    let by_name = json!({"n": 3, "attribute": "name"});
    for (operation, request, bytes) in [
        (Operation::Versions, &nothing, &include_bytes!("../../../dask/frames/versions.bin")[..]),
        (Operation::Identity, &nothing, include_bytes!("../../../dask/frames/identity.bin")),
        (Operation::Ncores, &nothing, include_bytes!("../../../dask/frames/ncores.bin")),
        (Operation::Processing, &nothing, include_bytes!("../../../dask/frames/processing.bin")),
        (Operation::AdaptiveTarget, &nothing, include_bytes!("../../../dask/frames/adaptive_target.bin")),
        (Operation::CheckIdle, &nothing, include_bytes!("../../../dask/frames/check_idle.bin")),
        (Operation::DumpState, &nothing, include_bytes!("../../../dask/frames/dump_state.bin")),
        (Operation::PrefixStates, &nothing, include_bytes!("../../../dask/frames/prefix_states.bin")),
    ] {
        compare(&answers::answer(&state, (operation, request), 1.0), &recorded(bytes), "");
    }
    let order = answers::answer(&state, (Operation::WorkersToClose, &by_name), 1.0);
    let real = recorded(include_bytes!("../../../dask/frames/workers_to_close.bin"));
    compare(&order, &real, "workers_to_close");
    let real = recorded(include_bytes!("../../../dask/frames/subscription.bin"));
    compare(&answers::identity(&state, Detail::Subscription), &real, "identity");
    let added =
        json!([["add", {"workers": answers::infos(&state, state.workers.keys(), Detail::Subscription)}]]);
    compare(&added[0][1], &recorded(include_bytes!("../../../dask/frames/added.bin"))[0][1], "added");
    let failure = answers::failure("TypeError()");
    compare(&failure, &recorded(include_bytes!("../../../dask/frames/failure.bin")), "failure");
}
