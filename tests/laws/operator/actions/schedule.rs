//! Edits of the Flow, and the scheduler at an address.

use http::Method;
use serde_json::{Value, json};

use crate::operator::world::World;

/// The second clock gets another name, or its own back.
pub(super) fn rename(spec: &mut Value) {
    let name = &mut spec["schedule"]["clocks"][1]["name"];
    *name = if name == "d" { "renamed" } else { "d" }.into();
}

/// The parameters of the Flow and of the second clock become others.
pub(super) fn parameters(spec: &mut Value, value: u8) {
    spec["parameters"] = json!({"base": value});
    spec["schedule"]["clocks"][1]["parameters"] = json!({"of": value});
}

/// So many finished runs are kept.
pub(super) fn keep(spec: &mut Value, count: u8) {
    spec["history"] = json!({"succeeded": count, "failed": count});
}

impl World {
    /// Somebody edits the Flow as it is.
    pub(super) async fn edit(&self, change: impl FnOnce(&mut Value)) {
        let Ok(flow) = self.write(Method::GET, "flows/etl", &Value::Null).await else { return };
        let mut spec = flow["spec"].clone();
        change(&mut spec);
        self.patch("flows/etl", &json!({"spec": spec})).await;
    }

    /// The scheduler at the address that the runs go to starts anew, and has its worker again.
    pub(super) fn scheduler_starts_anew(&self) {
        if self.schedulers.at("dask").is_some() {
            self.schedulers.start("dask");
            self.schedulers.change("dask", |state| state.register("worker", "tcp://10.9.0.1:40001"));
        }
    }
}
