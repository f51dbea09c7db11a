//! The check at the start that the API server serves our kinds as this program knows them, and those of
//! dask-kubernetes where they are to be served too.
//!
//! It asks for the OpenAPI document of the group, which `system:discovery` lets every account read: in the
//! mode of single namespaces the operator has no right to read CRDs. It waits for as long as it takes;
//! meanwhile the operator is not ready, says why, and goes on by itself when the CRDs are right.

use std::time::Duration;

use axum::http::Request;
use kube::Client;
use serde_json::Value;

use super::pulse::Pulse;
use crate::api::{self, GROUP, VERSION, dask_kubernetes};
use crate::causes::chain;
use crate::plan::compat::served::Definitions;
use crate::plan::served::{Difference, compare};

/// How soon the API server is asked again. It publishes a new CRD within a second or two.
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// What the API server said.
enum Answer {
    Document(Value),
    /// The group is not served at all.
    Nothing,
    /// This account may not read it, as somebody has taken that right from all accounts: there is nothing to
    /// check with.
    Forbidden,
    /// It did not answer in time.
    Silence,
    /// It could not be asked.
    Failure(kube::Error),
}

/// Ends when our kinds are served. Until then `pulse` says why not.
pub(super) async fn until_served(client: &Client, pulse: &Pulse) {
    if until(client, pulse, Kinds::Ours).await {
        tracing::info!("the CRDs are as this operator knows them");
    }
}

/// Ends when the kinds of dask-kubernetes are served, whoever has installed their definitions. Until then
/// `pulse` says why not.
pub(super) async fn until_dask_kubernetes_is_served(client: &Client, pulse: &Pulse) {
    if until(client, pulse, Kinds::OfDaskKubernetes).await {
        tracing::info!("the kinds of dask-kubernetes are served");
    }
}

/// What is looked at.
#[derive(Clone, Copy)]
enum Kinds {
    Ours,
    OfDaskKubernetes,
}

/// Looks until there is nothing to complain of; says whether there was.
async fn until(client: &Client, pulse: &Pulse, kinds: Kinds) -> bool {
    let mut told = None;
    loop {
        let complaint = match kinds {
            Kinds::Ours => complaint(client).await,
            Kinds::OfDaskKubernetes => complaint_of_dask_kubernetes(client).await,
        };
        let Some(complaint) = complaint else { break };
        if told.as_ref() != Some(&complaint) {
            tracing::error!("{complaint}");
            pulse.waits_for(Some(complaint.clone()));
            told = Some(complaint);
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    pulse.waits_for(None);
    told.is_some()
}

/// What is wrong with what is served, if anything.
async fn complaint(client: &Client) -> Option<String> {
    let document = match document(client, GROUP, VERSION).await {
        Ok(document) => document,
        Err(complaint) => return complaint,
    };
    let difference: Difference = compare(&api::crds(), &document);
    let complaint = difference.complaint();
    if let Some(remark) = difference.remark().filter(|_| complaint.is_none()) {
        tracing::info!("{remark}");
    }
    complaint
}

/// The same of the kinds of dask-kubernetes. That the definitions are its own is no fault: what they lack is
/// said once.
async fn complaint_of_dask_kubernetes(client: &Client) -> Option<String> {
    match document(client, dask_kubernetes::GROUP, dask_kubernetes::VERSION).await {
        Ok(document) => {
            let definitions = Definitions::of(&document);
            let complaint = definitions.complaint();
            if let Some(remark) = definitions.remark() {
                tracing::info!("{remark}");
            }
            complaint
        }
        Err(complaint) => complaint,
    }
}

/// The document of a group, which is null where it is not served; else what to complain of, if it is not that
/// this account may not ask.
async fn document(client: &Client, group: &str, version: &str) -> Result<Value, Option<String>> {
    match ask(client, group, version).await {
        Answer::Document(document) => Ok(document),
        Answer::Nothing => Ok(Value::Null),
        Answer::Forbidden => {
            tracing::warn!("this account may not read /openapi/v3, so the CRDs are not checked");
            Err(None)
        }
        Answer::Silence => Err(Some("the API server does not report which kinds it serves".to_owned())),
        Answer::Failure(error) => {
            Err(Some(format!("the API server does not report which kinds it serves: {}", chain(&error))))
        }
    }
}

async fn ask(client: &Client, group: &str, version: &str) -> Answer {
    let request = Request::get(format!("/openapi/v3/apis/{group}/{version}")).body(Vec::new());
    let answer = match request {
        Ok(request) => match tokio::time::timeout(ANSWER, client.request::<Value>(request)).await {
            Ok(answer) => answer,
            Err(_) => return Answer::Silence,
        },
        Err(error) => Err(kube::Error::HttpError(error)),
    };
    match answer {
        Ok(document) => Answer::Document(document),
        Err(kube::Error::Api(status)) if status.code == 404 => Answer::Nothing,
        Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => Answer::Forbidden,
        Err(error) => Answer::Failure(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::operator::testing;
    use crate::plan::compat::served;
    use crate::plan::served::tests::document;

    /// What the context says after each of these answers, and how often the API server was asked until the
    /// check ended.
    async fn check(answers: Vec<(u16, Value)>) -> (Vec<Option<String>>, usize) {
        check_of(answers, false).await
    }

    async fn check_of(answers: Vec<(u16, Value)>, dask_kubernetes: bool) -> (Vec<Option<String>>, usize) {
        let (context, server, _wakes) = testing::context(1);
        let context = Arc::new(context);
        let (said, next) = (Arc::new(std::sync::Mutex::new(Vec::new())), AtomicUsize::new(0));
        let (asked, _serving) = testing::serve(server, {
            let (context, said) = (context.clone(), said.clone());
            move |_| {
                said.lock().unwrap().push(context.pulse.obstacle());
                let index = next.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
                answers[index].clone()
            }
        });
        let check = async {
            if dask_kubernetes {
                until_dask_kubernetes_is_served(&context.client, &context.pulse).await;
            } else {
                until_served(&context.client, &context.pulse).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), check).await.unwrap();
        said.lock().unwrap().push(context.pulse.obstacle());
        let said = said.lock().unwrap().clone();
        (said, asked.count(if dask_kubernetes { "GET v1" } else { "GET v1alpha1" }))
    }

    #[tokio::test(start_paused = true)]
    async fn kinds_of_dask_kubernetes_are_waited_for_whoever_installs_them() {
        let missing = testing::refusal(404, "NotFound", "404 page not found");
        let all = served::tests::document(&dask_kubernetes::crds());
        let (said, asked) = check_of(vec![missing, (200, all)], true).await;
        assert_eq!((asked, said[0].clone(), said[2].clone()), (2, None, None));
        assert!(
            said[1].clone().unwrap().contains("DaskAutoscaler, DaskJob of kubernetes.dask.org"),
            "{said:?}"
        );
        let refusal = testing::refusal(403, "Forbidden", "forbidden: cannot get path");
        assert_eq!(check_of(vec![refusal], true).await, (vec![None, None], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn served_kinds_need_one_look() {
        assert_eq!(check(vec![(200, document(&api::crds()))]).await, (vec![None, None], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_until_all_kinds_are_served_and_says_what_it_waits_for() {
        let missing = testing::refusal(404, "NotFound", "404 page not found");
        let busy = testing::refusal(503, "ServiceUnavailable", "the server is starting");
        let some = document(&api::crds()[..2]);
        let all = document(&api::crds());
        let (said, asked) = check(vec![missing, busy, (200, some), (200, all)]).await;
        assert_eq!(asked, 4);
        let said: Vec<String> = said.into_iter().map(Option::unwrap_or_default).collect();
        assert_eq!(said[0], "");
        assert!(
            said[1].contains("does not know DaskCluster, Flow, FlowRun, FlowBackfill; apply"),
            "{said:?}"
        );
        assert!(said[2].contains("does not report"), "{said:?}");
        assert!(said[3].contains("does not know FlowRun, FlowBackfill; apply"), "{said:?}");
        assert_eq!(said[4], "");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_may_not_read_is_not_kept_from_working() {
        let refusal = testing::refusal(403, "Forbidden", "forbidden: cannot get path");
        assert_eq!(check(vec![refusal]).await, (vec![None, None], 1));
    }
}
