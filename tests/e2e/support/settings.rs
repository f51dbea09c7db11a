//! Where the tests run and with which images: everything that comes from the environment.

use std::path::PathBuf;
use std::sync::LazyLock;

/// What kind of cluster the tests run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The project's own cluster, whose components can be killed and started.
    Embedded,
    /// A cluster with nodes of whatever make.
    Real,
    /// An API server alone: objects can be judged, and nothing else happens.
    ApiServerOnly,
}

/// What the environment says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the tests run.
    pub place: Place,
    /// The operator under test.
    pub operator: String,
    /// Prefect 1.4.1 and Dask.
    pub prefect1: String,
    /// Prefect 3 and Dask.
    pub prefect3: String,
    /// Prefect 0.13 and Dask.
    pub prefect0: String,
    /// Dask alone.
    pub dask: String,
    /// Dask Gateway, and what `prefect1` has.
    pub gateway: String,
    /// The embedded cluster's program, for killing its components.
    pub cluster_tool: Option<PathBuf>,
    /// The Python with dask-kubernetes.
    pub kubecluster: Option<PathBuf>,
    /// Where the API server logs what it is asked, one line of JSON for each request.
    pub audit_log: Option<PathBuf>,
}

static SETTINGS: LazyLock<Result<Settings, String>> = LazyLock::new(read);

/// The settings, or why the tests cannot run.
pub fn settings() -> Result<&'static Settings, &'static str> {
    SETTINGS.as_ref().map_err(String::as_str)
}

/// Whether leaving a test out is a failure.
pub fn is_required() -> bool {
    variable("DASKFLOW_E2E").is_ok_and(|value| value == "required")
}

/// Whether another phase of the same `make test` runs the tests, so that leaving them out here is nothing to
/// tell.
pub fn is_for_later() -> bool {
    variable("DASKFLOW_E2E").is_ok_and(|value| value == "later")
}

fn read() -> Result<Settings, String> {
    variable("KUBECONFIG")?;
    let place = match variable("DASKFLOW_E2E_CLUSTER")?.as_str() {
        "embedded" => Place::Embedded,
        "kind" | "current" => Place::Real,
        "api-server-only" => Place::ApiServerOnly,
        other => {
            return Err(format!(
                "DASKFLOW_E2E_CLUSTER={other}: say embedded, kind, current or api-server-only"
            ));
        }
    };
    let image = |name: &str| match variable(&format!("DASKFLOW_E2E_IMAGE_{name}")) {
        Err(_) if place == Place::ApiServerOnly => Ok(String::new()),
        image => image,
    };
    Ok(Settings {
        place,
        operator: image("OPERATOR")?,
        prefect1: image("PREFECT1")?,
        prefect3: image("PREFECT3")?,
        prefect0: image("PREFECT0")?,
        dask: image("DASK")?,
        gateway: image("GATEWAY")?,
        cluster_tool: variable("DASKFLOW_E2E_CLUSTER_TOOL").ok().map(PathBuf::from),
        kubecluster: variable("DASKFLOW_KUBECLUSTER_PYTHON").ok().map(PathBuf::from),
        audit_log: variable("DASKFLOW_E2E_AUDIT_LOG").ok().map(PathBuf::from),
    })
}

#[allow(
    clippy::disallowed_methods,
    reason = "tests have no command line; their settings are the environment"
)]
fn variable(name: &str) -> Result<String, String> {
    let value = std::env::var(name).unwrap_or_default();
    if value.is_empty() { Err(format!("{name} is not set")) } else { Ok(value) }
}
