//! Services of type `LoadBalancer`: each is reached on this machine, where the ports of its pods are.
//!
//! It stands for the load balancer of a cloud, which says in the status where a Service is reached. Clients
//! of dask-kubernetes wait for that.

use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::json;

/// Gives Services their addresses, for as long as it is polled.
pub async fn serve(client: &Client) {
    let services: Api<Service> = Api::all(client.clone());
    let mut events = pin!(watcher::watcher(services, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(service) | Event::InitApply(service)) = event else { continue };
        if let Some((namespace, name)) = without_address(&service) {
            let services: Api<Service> = Api::namespaced(client.clone(), namespace);
            let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}});
            // One that is deleted meanwhile needs no address; nothing else stands against it.
            let _ = services.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await;
        }
    }
}

/// The namespace and name of a Service that is to have an address and has none.
fn without_address(service: &Service) -> Option<(&str, &str)> {
    let type_ = service.spec.as_ref()?.type_.as_deref()?;
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let has_address =
        balancer.is_some_and(|balancer| balancer.ingress.as_ref().is_some_and(|all| !all.is_empty()));
    let place = (service.metadata.namespace.as_deref()?, service.metadata.name.as_deref()?);
    (type_ == "LoadBalancer" && !has_address).then_some(place)
}

#[cfg(test)]
mod tests {
    use kube::api::PostParams;
    use kube::runtime::wait::await_condition;
    use serde_json::Value;

    use super::*;
    use crate::cluster_api::ClusterApi;

    #[tokio::test(start_paused = true)]
    async fn a_load_balancer_is_this_machine_and_other_services_are_left_alone() {
        let client = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1).client();
        let services: Api<Service> = Api::default_namespaced(client.clone());
        for (name, type_) in [("inside", "ClusterIP"), ("outside", "LoadBalancer")] {
            let spec = json!({"type": type_, "ports": [{"port": 8786}]});
            let service = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
            services.create(&PostParams::default(), &service).await.unwrap();
        }
        let has_address =
            |service: Option<&Service>| service.is_some_and(|service| without_address(service).is_none());
        tokio::select! {
            () = serve(&client) => panic!("it ended"),
            found = await_condition(services.clone(), "outside", has_address) => drop(found.unwrap()),
        }
        let status = |service: Service| serde_json::to_value(service.status).unwrap_or_default();
        let outside = status(services.get("outside").await.unwrap());
        assert_eq!(outside["loadBalancer"]["ingress"][0]["ip"], "127.0.0.1");
        let inside = status(services.get("inside").await.unwrap());
        assert_eq!(inside["loadBalancer"]["ingress"], Value::Null);
    }
}
