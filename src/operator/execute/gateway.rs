//! What a Dask Gateway is asked to do.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch};
use serde_json::json;

use super::objects::{create_one, patch_params};
use crate::api::FlowRun;
use crate::api::gateway::GatewayAdapt;
use crate::operator::context::Context;
use crate::operator::failure::Error;
use crate::operator::gateways::Fault;
use crate::plan::run::gateway::{GatewayOrder, GatewayStep};

/// Carries out a step. What comes of a request for a cluster, and of the end of one, is observed; what the
/// status is to say on the strength of the step fails here.
pub(super) async fn carry_out(context: &Context, namespace: &str, step: &GatewayStep) -> Result<(), Error> {
    // Two operators that ask at the same time make two clusters.
    context.pulse.claim.check()?;
    let (gateways, place) = (&context.gateways, (namespace, &step.access));
    match &step.order {
        GatewayOrder::Create { intent, options } => {
            gateways.create(place, (intent, options.clone()), || context.clock.now()).await;
        }
        GatewayOrder::Certificate { cluster, secret } => {
            let secret: Secret = gateways.certificate(place, cluster, secret).await.map_err(failure)?;
            create_one(context, namespace, &secret).await?;
        }
        GatewayOrder::Scale { cluster, workers } => {
            gateways.scale(place, (cluster, *workers)).await.map_err(failure)?;
        }
        GatewayOrder::Adapt { cluster, between } => {
            gateways.adapt(place, (cluster, *between)).await.map_err(failure)?;
        }
        GatewayOrder::Stop { cluster } => gateways.stop(place, cluster).await,
        GatewayOrder::Leave { cluster } => {
            let (cluster, gateway) = (cluster.as_deref(), &step.access.address);
            tracing::warn!(gateway, cluster, "a cluster of a run that is deleted may go on");
            context.metrics.cluster_left();
        }
    }
    Ok(())
}

fn failure(fault: Fault) -> Error {
    Error::Gateway { reason: fault.reason, message: fault.message }
}

/// Sets the finalizers of a run that is still of this version. One that is gone is done.
pub(super) async fn finalize(
    context: &Context,
    (namespace, run): (&str, &str),
    version: Option<&str>,
    finalizers: &[String],
) -> Result<(), Error> {
    let api: Api<FlowRun> = Api::namespaced(context.client.clone(), namespace);
    let patch = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
    match api.patch_metadata(run, &patch_params(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(drop).map_err(Error::Api),
    }
}

/// What a step is called in the log.
pub(super) fn describe(step: &GatewayStep) -> String {
    let address = &step.access.address;
    match &step.order {
        GatewayOrder::Create { .. } => format!("ask {address} for a cluster"),
        GatewayOrder::Certificate { cluster, .. } => {
            format!("fetch the certificate of {cluster} from {address}")
        }
        GatewayOrder::Scale { cluster, workers } => format!("scale {cluster} of {address} to {workers}"),
        GatewayOrder::Adapt { cluster, between: GatewayAdapt { minimum, maximum } } => {
            format!("let {cluster} of {address} adapt between {minimum} and {maximum}")
        }
        GatewayOrder::Stop { cluster } => format!("end {cluster} of {address}"),
        GatewayOrder::Leave { .. } => format!("leave a cluster of {address}"),
    }
}
