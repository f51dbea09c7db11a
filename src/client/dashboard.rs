//! Where the dashboard of a cluster is: behind a port of its scheduler's pod, or behind a Dask Gateway.

use kube::ResourceExt;

use super::cluster::Cluster;
use super::error::Error;
use super::find::{Found, Named};
use super::forward::{Scheduler, cluster_or_run};
use crate::api::FlowRun;
use crate::api::gateway::{GatewayAuthType, GatewayStatus};

/// Where a dashboard is.
pub enum Dashboard {
    /// At a port of a scheduler's pod.
    OfPod(Box<Scheduler>),
    /// At an address of a gateway.
    OfGateway(AtGateway),
}

/// A dashboard behind a gateway. The operator's login is not used for it: it is the caller's browser that
/// goes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtGateway {
    /// Its address.
    pub address: String,
    /// Which users the gateway knows.
    pub users: GatewayAuthType,
}

impl Dashboard {
    /// That of the DaskCluster of this name, or else of the cluster of the run of this name.
    ///
    /// # Errors
    /// There is neither, the cluster has no dashboard now, or a request failed.
    pub async fn find(cluster: &Cluster, named: &Named) -> Result<Self, Error> {
        let found = cluster_or_run(cluster, named).await?;
        if let Found::Run(run) = &found
            && let Some(known) = run.status.as_ref().and_then(|status| status.gateway.as_deref())
        {
            return of_gateway(run, known).map(Self::OfGateway);
        }
        Ok(Self::OfPod(Box::new(Scheduler::among(cluster, found).await?)))
    }
}

impl AtGateway {
    /// Which login may be asked for there, in a sentence.
    pub fn login(&self) -> &'static str {
        match self.users {
            GatewayAuthType::JupyterHub => {
                "your browser goes there itself: where a login is asked for, it is yours at the JupyterHub"
            }
            GatewayAuthType::Basic | GatewayAuthType::Kerberos => {
                "your browser goes there itself: where a login is asked for, it is yours at the gateway"
            }
        }
    }
}

fn of_gateway(run: &FlowRun, known: &GatewayStatus) -> Result<AtGateway, Error> {
    if let Some(address) = known.dashboard_address() {
        return Ok(AtGateway { address, users: known.access.auth.type_ });
    }
    let (name, gateway) = (run.name_any(), &known.access.address);
    // Both are known as soon as the cluster runs.
    let why = match known.secret_name {
        Some(_) => "has no dashboard, as far as the gateway says".to_owned(),
        None => format!("does not run yet: `daskflow status {name}` shows what it waits for"),
    };
    Err(Error::Senseless(format!("the cluster of the run {name} at the Dask Gateway {gateway} {why}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(more: &Value) -> Result<AtGateway, String> {
        let mut known = json!({
            "access": {"address": "https://hub/gw/", "auth": {"type": "JupyterHub", "secretName": "login"}},
            "attempt": 1, "askedAt": "2026-12-01T09:00:00Z",
        });
        known.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let run = json!({
            "metadata": {"name": "etl-1"}, "spec": {"flow": "etl"}, "status": {"gateway": known},
        });
        let run: FlowRun = serde_json::from_value(run).unwrap();
        let known = run.status.as_ref().unwrap().gateway.as_deref().unwrap();
        of_gateway(&run, known).map_err(|error| error.to_string())
    }

    #[test]
    fn a_dashboard_behind_a_gateway_is_opened_as_whoever_looks() {
        let found = of(&json!({"secretName": "s", "dashboard": "/clusters/c1/status"})).unwrap();
        assert_eq!(found.address, "https://hub/gw/clusters/c1/status");
        assert!(found.login().contains("yours at the JupyterHub"), "{}", found.login());
        let says = |more, part: &str| of(&more).is_err_and(|why| why.contains(part));
        assert!(says(json!({}), "https://hub/gw/ does not run yet: `daskflow status etl-1`"));
        assert!(says(json!({"secretName": "s"}), "has no dashboard, as far as the gateway says"));
    }
}
