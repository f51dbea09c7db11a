//! What the forms of pages do, with the rights of whoever sends them.

use axum::body::Body;
use http::Response;
use jiff::Timestamp;
use kube::api::ObjectMeta;
use serde_json::{Map, Value};

use super::asked::Asked;
use super::door::Door;
use super::page::backfill::Wanted;
use super::page::flow::parameters;
use super::page::words::{flow_link, link, run_link};
use super::problem::Problem;
use super::query::Query;
use super::reply::see;
use super::secret::digest;
use crate::api::{Flow, Kind, labels};
use crate::client::find::{self, Found, Named};
use crate::client::runs::{self, Wish};
use crate::client::suspend;
use crate::view::parameter::{Rounded, keeps_numbers, value_of};

type Reply = Result<Response<Body>, Problem>;

impl Asked<'_> {
    /// Does what a form asks for, and leads to what came of it.
    pub async fn write(
        &self,
        (kind, namespace, name): (&str, &str, &str),
        verb: &str,
        form: &Query,
    ) -> Reply {
        let token = form.get("form").unwrap_or_default();
        if digest(token) != digest(&self.visit.form_token) {
            return Err(Problem::new(
                403,
                "this form is of an older page: open the page again, and send it from there",
            ));
        }
        if verb != "dashboard" && self.site.options.read_only {
            return Err(Problem::new(403, "this page changes nothing, as it was started with --read-only"));
        }
        match (kind, verb) {
            ("flows", "run") => self.run_now(namespace, name, form).await,
            ("flows", "backfill") => self.backfill(namespace, name, form).await,
            ("flows" | "clusters", "suspend" | "resume") => {
                self.suspend((kind, namespace, name), verb == "suspend", form).await
            }
            ("runs", "cancel") => {
                runs::cancel(&self.visit.user.cluster.within(namespace), name).await?;
                Ok(see(&link("runs", namespace, name)))
            }
            ("runs", "retry") => {
                let cluster = self.visit.user.cluster.within(namespace);
                let earlier = find::run(&cluster, &named(Kind::FlowRun, name)).await?;
                let created = runs::retry(&cluster, &earlier, by_page()).await?;
                Ok(see(&run_link(&created)))
            }
            ("clusters", "dashboard") if matches!(self.site.options.door, Door::Loopback(_)) => {
                self.site.dashboards.open(&self.visit.user.cluster.within(namespace), name).await?;
                Ok(see(&link("clusters", namespace, name)))
            }
            _ => Err(Problem::no_page()),
        }
    }

    async fn run_now(&self, namespace: &str, name: &str, form: &Query) -> Reply {
        let cluster = self.visit.user.cluster.within(namespace);
        let flow = find::flow(&cluster, &named(Kind::Flow, name)).await?;
        let wish = Wish {
            parameters: over(&flow, form)?,
            logical_time: form.text("time").map(instant).transpose()?,
            ..by_page()
        };
        let created = runs::create(&cluster, name, "now", wish).await?;
        Ok(see(&run_link(&created)))
    }

    async fn suspend(&self, (kind, namespace, name): (&str, &str, &str), is: bool, form: &Query) -> Reply {
        let cluster = self.visit.user.cluster.within(namespace);
        let kind = if kind == "flows" { Kind::Flow } else { Kind::DaskCluster };
        let found = find::find(&cluster, &named(kind, name), &[kind]).await?;
        suspend::set(&cluster, &found, is).await?;
        let to = match (&found, form.get("back")) {
            (Found::Flow(_), Some("list")) => format!("/?namespace={}", self.namespace_of_lists(namespace)),
            (Found::Flow(flow), _) => flow_link(flow),
            _ => link("clusters", namespace, name),
        };
        Ok(see(&to))
    }

    /// The namespace that the lists have which lead to an object; empty for all.
    fn namespace_of_lists(&self, namespace: &str) -> String {
        self.frame("", "", &self.scope_around(namespace)).namespace
    }

    async fn backfill(&self, namespace: &str, name: &str, form: &Query) -> Reply {
        let cluster = self.visit.user.cluster.within(namespace);
        find::flow(&cluster, &named(Kind::Flow, name)).await?;
        let mut backfill = backfill_wanted(form)?.backfill(name);
        backfill.metadata = ObjectMeta {
            generate_name: Some(format!("{name}-")),
            annotations: Some([(labels::REQUESTED_BY.to_owned(), labels::BY_PAGE.to_owned())].into()),
            ..ObjectMeta::default()
        };
        runs::create_backfill(&cluster, &backfill).await?;
        Ok(see(&link("flows", namespace, name)))
    }
}

/// What is asked for by the page.
fn by_page() -> Wish {
    Wish { requested_by: Some(labels::BY_PAGE), ..Wish::default() }
}

fn named(kind: Kind, name: &str) -> Named {
    Named { kind: Some(kind), name: name.to_owned() }
}

/// The backfill that a form asks for.
pub(super) fn backfill_wanted(form: &Query) -> Result<Wanted, Problem> {
    let at = |field: &str| instant(form.text(field).unwrap_or_default());
    let (from, to) = (at("from")?, at("to")?);
    if to < from {
        return Err(Problem::new(400, "the end of the backfill is before its beginning"));
    }
    let parallelism = form.text("parallelism").unwrap_or("1").parse::<u32>();
    let parallelism = parallelism.ok().filter(|count| (1..=100).contains(count));
    let parallelism = parallelism.ok_or_else(|| Problem::new(400, "write a number of runs from 1 to 100"))?;
    Ok(Wanted { from, to, parallelism })
}

/// An instant, or a date for its midnight in UTC.
fn instant(text: &str) -> Result<Timestamp, Problem> {
    let text = text.trim();
    let midnight = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let at = text.parse::<Timestamp>().ok().or_else(|| midnight().map(|day| day.timestamp()));
    at.ok_or_else(|| {
        Problem::new(
            400,
            format!("{text:?} is no instant: write one such as 2026-03-29T00:00:00Z, or a date"),
        )
    })
}

/// The parameters that differ from the Flow's. A value is JSON; what is none is a text.
fn over(flow: &Flow, form: &Query) -> Result<Map<String, Value>, Problem> {
    let mut over = Map::new();
    let usual = parameters(flow);
    for (name, text) in form.with_prefix("p.") {
        let is_usual = usual.iter().any(|one| one.name == name && one.value == text);
        if !is_usual && !name.is_empty() {
            let value = value_of(text).map_err(|rounded| not_kept(name, &rounded))?;
            over.insert(name.to_owned(), value);
        }
    }
    if let Some(text) = form.text("more") {
        let more: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            Problem::new(
                400,
                format!("the parameters are no object of JSON ({error}): write one such as {{\"days\": 7}}"),
            )
        })?;
        keeps_numbers(text).map_err(|rounded| not_kept("the parameters", &rounded))?;
        over.extend(more);
    }
    Ok(over)
}

fn not_kept(what: &str, rounded: &Rounded) -> Problem {
    Problem::new(400, format!("{what}: {rounded}; as a text it is \"{}\"", rounded.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_changed_is_sent_over_the_parameters_of_the_flow() {
        let flow: Flow = serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "etl"},
            "spec": {"cluster": {"ref": {"name": "a"}}, "parameters": {
                "days": 1, "region": "north", "code": "7", "list": [1], "query": "select *\nfrom t",
            }},
        }))
        .unwrap();
        let of = |text: &str| over(&flow, &Query::of(text.as_bytes())).map(Value::Object);
        assert_eq!(of("p.days=1&p.region=north&p.code=%227%22&p.list=%5B1%5D").unwrap(), json!({}));
        assert_eq!(
            of("p.days=7&p.region=south&p.code=8&more=%7B%22a%22%3A+1%7D").unwrap(),
            json!({"days": 7, "region": "south", "code": 8, "a": 1})
        );
        // As a browser sends it back from a field of one line.
        let shown = parameters(&flow).into_iter().find(|one| one.name == "query").unwrap().value;
        assert!(!shown.contains(['\n', '\r']), "{shown:?}");
        assert_eq!(
            over(&flow, &Query::of(format!("p.query={}", shown.replace(' ', "+")).as_bytes())).unwrap(),
            Map::new()
        );
        assert!(of("more=7").unwrap_err().words.contains("no object of JSON"));
        for large in ["p.days=12345678901234567890123", "more=%7B%22a%22%3A+12345678901234567890123%7D"] {
            assert!(of(large).unwrap_err().words.contains("would not stay what it is"), "{large}");
        }
    }

    #[test]
    fn an_instant_may_be_a_date() {
        assert_eq!(instant("2026-10-01").unwrap(), instant("2026-10-01T00:00:00Z").unwrap());
        assert_eq!(instant("yesterday").unwrap_err().code, 400);
    }
}
