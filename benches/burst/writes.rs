//! What a write of a status costs the API server, by the way in which it is asked for.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cluster::{CONNECTIONS, Kind, copy};
use crate::machine::cpu_s;
use crate::turns::Templates;
use crate::{Bench, say};

/// How often all ways take their turn.
const ROUNDS: usize = 3;

/// A way to write a status. Each writes the whole of it, over the version that was read and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Apply,
    MergePatch,
    Update,
    JsonPatch,
}

impl Way {
    pub const ALL: [Self; 4] = [Self::Apply, Self::MergePatch, Self::Update, Self::JsonPatch];

    pub fn title(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::MergePatch => "merge patch",
            Self::Update => "update",
            Self::JsonPatch => "JSON patch",
        }
    }
}

/// Milliseconds of processor time for one write, of each round: of the API server, and of etcd.
pub type Costs = BTreeMap<(&'static str, Way), Vec<(f64, f64)>>;

impl Bench {
    /// Writes statuses of a Flow and of a run that has ended, each time with another figure or message in it.
    pub async fn costs_of_writes(&self, templates: &Templates) -> Costs {
        let mut costs = Costs::new();
        for round in 0..if self.options.small { 1 } else { ROUNDS } {
            for way in Way::ALL {
                say(&format!("writes, round {}: {}", round + 1, way.title()));
                let name = |kind| format!("{kind}-{round}-{}", way.title().to_lowercase().replace(' ', "-"));
                let cost = self.cost(way, &templates.flow, &name("flow"), |n| ("missed", json!(n))).await;
                costs.entry(("Flow", way)).or_default().push(cost);
                let message = |n| ("message", json!(format!("the {n}th message")));
                let cost = self.cost(way, &templates.run, &name("run"), message).await;
                costs.entry(("FlowRun", way)).or_default().push(cost);
            }
        }
        costs
    }

    async fn cost<K: Kind>(
        &self,
        way: Way,
        template: &K,
        name: &str,
        change: impl Fn(usize) -> (&'static str, Value) + Copy,
    ) -> (f64, f64) {
        let names: Vec<String> = (0..CONNECTIONS).map(|n| format!("{name}-{n}")).collect();
        self.cluster.create::<K>(names.iter().map(|name| copy(template, name))).await;
        let status = serde_json::to_value(template).unwrap()["status"].clone();
        let each = self.options.writes.div_ceil(CONNECTIONS);
        let rewrite = |name: String| {
            let (api, mut status) = (self.cluster.api::<K>(), status.clone());
            async move {
                let mut object = api.get(&name).await.unwrap();
                for number in 0..each {
                    let (field, value) = change(number);
                    status[field] = value;
                    object = write(&api, way, &object, &status).await;
                }
            }
        };
        // The first write of a status is another one than those after it.
        let used = || (cpu_s(self.api_server), cpu_s(self.etcd));
        let before = used();
        stream::iter(names.into_iter().map(rewrite)).buffer_unordered(CONNECTIONS).collect::<Vec<()>>().await;
        let after = used();
        let count = f64::from(u32::try_from(each * CONNECTIONS).unwrap());
        ((after.0 - before.0) * 1e3 / count, (after.1 - before.1) * 1e3 / count)
    }
}

async fn write<K: Kind>(api: &Api<K>, way: Way, object: &K, status: &impl Serialize) -> K {
    let (name, version) = (object.name_any(), object.resource_version());
    let merged = json!({"metadata": {"resourceVersion": version}, "status": status});
    let params = PatchParams::default();
    match way {
        Way::Apply => {
            let patch = json!({
                "apiVersion": K::api_version(&()),
                "kind": K::kind(&()),
                "metadata": {"name": name, "resourceVersion": version},
                "status": status,
            });
            let params = PatchParams::apply("daskflow/status").force();
            api.patch_status(&name, &params, &Patch::Apply(patch)).await
        }
        Way::MergePatch => api.patch_status(&name, &params, &Patch::Merge(merged)).await,
        Way::Update => {
            let mut whole = serde_json::to_value(object).unwrap();
            whole["status"] = serde_json::to_value(status).unwrap();
            let whole = serde_json::from_value(whole).unwrap();
            api.replace_status(&name, &PostParams::default(), &whole).await
        }
        Way::JsonPatch => {
            // As the operator does. "add" replaces what is there.
            let patch = json!([
                {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
                {"op": "add", "path": "/status", "value": status},
            ]);
            api.patch_status(&name, &params, &Patch::Json::<()>(serde_json::from_value(patch).unwrap())).await
        }
    }
    .unwrap()
}

/// The kinds, for a table.
pub const KINDS: [&str; 2] = ["Flow", "FlowRun"];
