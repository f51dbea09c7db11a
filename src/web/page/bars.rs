//! Runs as bars: the height is how long each took, the colour how it ended.

use jiff::Timestamp;

use super::past::Past;
use super::words::class;

/// How wide a bar is with the gap after it, and without it.
const STEP: usize = 8;
/// The least height, so that a short run is seen.
const HEIGHT_MIN: i64 = 3;

/// A row of bars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "as the JSON of the page has them")]
pub struct Bars {
    /// How wide the drawing is.
    pub width: usize,
    /// How high.
    pub height: i64,
    /// The bars, the oldest first.
    pub bars: Vec<Bar>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Where it begins.
    pub x: usize,
    /// Its upper end.
    pub y: i64,
    /// How high it is.
    pub height: i64,
    /// Its colour.
    pub class: &'static str,
    /// What, when and why.
    pub words: String,
    /// Its page.
    pub link: Option<String>,
}

/// The newest of these runs, `count` at the most, as bars of at most this height.
pub fn bars(all: &[Past], (count, height): (usize, i64), now: Timestamp) -> Bars {
    let all = all.get(all.len().saturating_sub(count)..).unwrap_or_default();
    let longest = all.iter().map(|run| run.seconds(now)).max().unwrap_or_default().max(1);
    let bars = all.iter().enumerate().map(|(at, run)| {
        // Seconds of years times a height are far from the end of i64.
        let tall = (run.seconds(now).saturating_mul(height) / longest).clamp(HEIGHT_MIN, height);
        Bar {
            x: at * STEP,
            y: height - tall,
            height: tall,
            class: class(run.phase),
            words: run.words(now),
            link: run.link(),
        }
    });
    Bars { width: all.len().max(1) * STEP, height, bars: bars.collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::web::page::past::{failed_in_a_row, last, past, well};

    #[test]
    fn the_longest_run_is_the_highest_bar_and_a_deleted_one_has_no_page() {
        let flow = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "etl", "namespace": "a"},
            "spec": {"cluster": {"ref": {"name": "a"}}},
            "status": {"recent": ["-3||Failed|FlowFailed|1000|1200", "-2||Failed|OOMKilled|500|600", "-1||Succeeded||100|101"]},
        });
        let flow = serde_json::from_value(flow).unwrap();
        let run = |name: &str, status: serde_json::Value| {
            let run = json!({
                "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "spec": {"flow": "etl"}, "status": status,
                "metadata": {"name": name, "namespace": "a", "creationTimestamp": "1970-01-01T00:16:00Z"},
            });
            serde_json::from_value::<crate::api::FlowRun>(run).unwrap()
        };
        let failed = json!({
            "phase": "Failed", "reason": "FlowFailed", "startedAt": "1970-01-01T00:16:40Z", "finishedAt": "1970-01-01T00:20:00Z",
        });
        let running = json!({"phase": "Running", "startedAt": "1970-01-01T00:16:41Z"});
        let (failed, running) = (run("etl-3", failed), run("etl-now", running));
        let now = Timestamp::from_second(1201).unwrap();
        let all = past(&flow, &[&running, &failed]);
        let names: Vec<&str> = all.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["etl-1", "etl-2", "etl-3", "etl-now"]);
        let drawn = bars(&all, (3, 20), now);
        let seen: Vec<(usize, i64, i64, &str)> =
            drawn.bars.iter().map(|bar| (bar.x, bar.y, bar.height, bar.class)).collect();
        assert_eq!(seen, [(0, 10, 10, "f"), (8, 0, 20, "f"), (16, 0, 20, "r")]);
        assert_eq!(drawn.width, 24);
        assert_eq!(drawn.bars[0].link, None);
        assert_eq!(drawn.bars[1].link.as_deref(), Some("/runs/a/etl-3"));
        assert_eq!(drawn.bars[0].words, "Failed: OOMKilled, 100 s, 10 m ago");
        assert_eq!(drawn.bars[2].words, "Running, 3 m");
        assert_eq!((well(&all).as_str(), failed_in_a_row(&all)), ("1 of 3", 2));
        assert_eq!(last(&all).map(|run| run.name.as_str()), Some("etl-3"));
        assert_eq!(bars(&[], (3, 20), now).bars, []);
    }
}
