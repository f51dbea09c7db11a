//! What a gateway answers.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::call::is_name;
use super::error::Error;
use super::hidden::Hidden;

/// The longest name of an option that is taken, in bytes.
const OPTION_BYTES_MAX: usize = 253;

/// An option that a cluster may have.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct OptionSpec {
    /// Its name in requests.
    pub field: String,
    /// What it is where nothing is said.
    #[serde(default)]
    pub default: Value,
}

/// Where a cluster stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It starts.
    Pending,
    /// It runs, and its certificate is there.
    Running,
    /// It is being ended.
    Stopping,
    /// It has ended, because it was asked to or was idle for too long.
    Stopped,
    /// It has ended otherwise. Why is in the gateway's log alone.
    Failed,
}

/// A certificate or a key, in PEM. No `Debug` shows it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Pem(String);

impl Pem {
    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem")
    }
}

/// What a gateway says of one cluster.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Report {
    /// Where it stands.
    #[serde(rename = "status")]
    pub state: State,
    /// The dashboard, as a path after the gateway's prefix.
    #[serde(default)]
    pub dashboard_route: Option<String>,
    /// When it was asked for.
    #[serde(default, deserialize_with = "instant")]
    pub start_time: Option<Timestamp>,
    /// All its options, with those that nobody named.
    #[serde(default, deserialize_with = "options_or_none")]
    pub options: Map<String, Value>,
    /// The certificate for its scheduler, while it runs. It is its own authority.
    #[serde(default)]
    pub tls_cert: Option<Pem>,
    /// The key of that.
    #[serde(default)]
    pub tls_key: Option<Pem>,
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(match word.to_ascii_uppercase().as_str() {
            "PENDING" => Self::Pending,
            "RUNNING" => Self::Running,
            "STOPPING" => Self::Stopping,
            "STOPPED" => Self::Stopped,
            "FAILED" => Self::Failed,
            _ => return Err(serde::de::Error::custom("an unknown state of a cluster")),
        })
    }
}

/// Milliseconds since the epoch.
fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let milliseconds = Option::<i64>::deserialize(deserializer)?;
    Ok(milliseconds.and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok()))
}

fn options_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The answer to [`super::Call::options`]. Their names are shown to whoever names another one. They are the
/// gateway's configuration and no words of it: a login that is a part of one, as a short one may be, hides
/// nothing of it, or the option could not be named.
pub fn options(body: &[u8]) -> Result<Vec<OptionSpec>, Error> {
    #[derive(Deserialize)]
    struct Options {
        cluster_options: Vec<OptionSpec>,
    }
    let mut options: Options = read(body, "it has no list of options")?;
    options.cluster_options.retain(|option| is_option(&option.field));
    Ok(options.cluster_options)
}

/// Whether an option may be called so: what breaks a line or is endless is no name.
fn is_option(name: &str) -> bool {
    (1..=OPTION_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// The answer to [`super::Call::create`]: the name of the new cluster.
pub fn created(body: &[u8]) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Created {
        name: String,
    }
    let created: Created = read(body, "it has no name of a cluster")?;
    if is_name(&created.name) {
        Ok(created.name)
    } else {
        Err(Error::NotUnderstood("no cluster is called so"))
    }
}

/// The answer to [`super::Call::cluster`].
pub fn report(body: &[u8]) -> Result<Report, Error> {
    read(body, "it does not say where a cluster stands")
}

/// The answer to [`super::Call::list`]: clusters by their names. What is called as no cluster is, is left
/// out.
pub fn list(body: &[u8]) -> Result<BTreeMap<String, Report>, Error> {
    let mut all: BTreeMap<String, Report> = read(body, "it is no list of clusters")?;
    all.retain(|name, _| is_name(name));
    Ok(all)
}

/// The answer to [`super::Call::scale`] and to [`super::Call::adapt`]: what the gateway has against as many
/// workers, if anything.
pub fn scaled(body: &[u8], hidden: &Hidden) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    struct Scaled {
        ok: bool,
        #[serde(default)]
        msg: Option<String>,
    }
    let answer: Scaled = read(body, "it does not say whether it scales")?;
    Ok((!answer.ok).then(|| hidden.shown(answer.msg.as_deref().unwrap_or("no reason is given"))))
}

/// The words of an answer that says no: `{"error": text}`. Any other text is not passed on: whoever writes an
/// address would read by it what only the operator can reach.
pub(super) fn words(body: &[u8], hidden: &Hidden) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let words = serde_json::from_slice(body).map(|refusal: Refusal| hidden.shown(&refusal.error));
    words.ok().filter(|words| !words.is_empty()).unwrap_or_else(|| "it does not say why".to_owned())
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8], fault: &'static str) -> Result<T, Error> {
    // The words of the JSON reader are not passed on: they may quote the body, which may hold a key.
    serde_json::from_slice(body).map_err(|_| Error::NotUnderstood(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As captured from dask-gateway-server 2026.3.0.
    const RUNNING: &str = r#"{"name":"a261","dashboard_route":"/clusters/a261/status","status":"RUNNING",
        "start_time":1795340909257,"stop_time":null,"options":{"worker_cores":1,"size":"small"},
        "tls_cert":"-----BEGIN CERTIFICATE-----\nAB\n","tls_key":"-----BEGIN PRIVATE KEY-----\nSECRET\n"}"#;
    const PENDING: &str = r#"{"name":"a261","dashboard_route":null,"status":"PENDING","start_time":1795340909257,
        "stop_time":null,"options":{},"tls_cert":null,"tls_key":null}"#;

    #[test]
    fn a_cluster_is_read_and_its_key_is_shown_to_nobody() {
        let found = report(RUNNING.as_bytes()).unwrap();
        assert_eq!(
            (found.state, found.dashboard_route.as_deref()),
            (State::Running, Some("/clusters/a261/status"))
        );
        assert_eq!(found.start_time.map(Timestamp::as_millisecond), Some(1_795_340_909_257));
        assert!(found.tls_key.as_ref().unwrap().as_bytes().ends_with(b"SECRET\n"));
        assert!(!format!("{found:?}").contains("SECRET"));
        assert_eq!(report(PENDING.as_bytes()).unwrap().tls_cert, None);
        let all = format!("{{\"a261\": {PENDING}, \"../x\": {PENDING}}}");
        assert_eq!(list(all.as_bytes()).unwrap().into_keys().collect::<Vec<_>>(), ["a261"]);
    }

    #[test]
    fn what_is_no_answer_of_a_gateway_is_refused_without_quoting_it() {
        let secret = b"{\"name\": 1, \"tls_key\": \"SECRET\"";
        for error in [created(secret).unwrap_err(), report(secret).unwrap_err(), options(b"[]").unwrap_err()]
        {
            assert!(error.to_string().starts_with("its answer is none of a Dask Gateway"), "{error}");
            assert!(!format!("{error:?} {error}").contains("SECRET"));
        }
        assert!(created(br#"{"name": "../etc"}"#).is_err());
        assert!(report(br#"{"status": "WAITING"}"#).is_err());
    }

    #[test]
    fn a_limit_of_the_site_is_in_the_gateways_words() {
        let answer = br#"{"ok": false, "msg": "Scaling to 3 instead."}"#;
        let nothing = Hidden::default();
        assert_eq!(scaled(answer, &nothing).unwrap().as_deref(), Some("Scaling to 3 instead."));
        assert_eq!(scaled(br#"{"ok": true, "msg": null}"#, &nothing).unwrap(), None);
        assert_eq!(words(br#"{"error": "Unknown fields ['zzz']"}"#, &nothing), "Unknown fields ['zzz']");
        assert_eq!(words(b"500: Server got itself in trouble", &nothing), "it does not say why");
    }

    #[test]
    fn a_login_is_hidden_wherever_words_of_a_gateway_are_passed_on() {
        let hidden = Hidden::of("Basic YQ==", "s3cret");
        let long = "x".repeat(297) + "s3cret";
        let cut = "x".repeat(297) + "***";
        assert_eq!(words(format!("{{\"error\": \"{long}\"}}").as_bytes(), &hidden), cut);
        let said = scaled(format!("{{\"ok\": false, \"msg\": \"{long}\"}}").as_bytes(), &hidden).unwrap();
        assert_eq!(said.as_deref(), Some(cut.as_str()));
    }

    #[test]
    fn options_are_called_as_they_are_and_what_is_no_name_is_left_out() {
        let offered =
            options(br#"{"cluster_options": [{"field": "max_workers"}, {"field": ""}, {"field": "a\nb"}]}"#);
        let names: Vec<_> = offered.unwrap().into_iter().map(|option| option.field).collect();
        assert_eq!(names, ["max_workers"]);
    }
}
