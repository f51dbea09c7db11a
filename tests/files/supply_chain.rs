//! What comes into the program, held against `deny.toml` by what Cargo itself knows: no network, and no
//! cargo-deny, which reads the same file and adds the advisories (`make deny`).

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use toml::Table;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn table(name: &str) -> Table {
    read(name).parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The entries of a list of words.
fn words(list: &toml::Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// A crate of Cargo.lock: of every platform and every feature.
struct Locked {
    name: String,
    source: Option<String>,
    dependencies: Vec<String>,
}

fn locked() -> Vec<Locked> {
    let lock = table("Cargo.lock");
    let package = |package: &toml::Value| Locked {
        name: package["name"].as_str().unwrap().to_owned(),
        source: package.get("source").map(|source| source.as_str().unwrap().to_owned()),
        // "name", or "name version" where there are several.
        dependencies: (package.get("dependencies").map(words).unwrap_or_default().iter())
            .filter_map(|dependency| dependency.split(' ').next().map(str::to_owned))
            .collect(),
    };
    let packages: Vec<Locked> = lock["package"].as_array().unwrap().iter().map(package).collect();
    assert!(packages.len() > 100, "only {} crates were found", packages.len());
    packages
}

/// Why crates are banned, where they are used all the same. A ban with wrappers is about other users.
fn banned(deny: &Table, locked: &[Locked]) -> Vec<String> {
    let mut found = Vec::new();
    for ban in deny["bans"]["deny"].as_array().unwrap() {
        let name = ban["crate"].as_str().unwrap();
        let reason = ban.get("reason").and_then(toml::Value::as_str).unwrap_or_default();
        assert!(!reason.is_empty(), "{name} is banned without a reason");
        let allowed = ban.get("wrappers").map(words);
        let is_fault = |user: &&Locked| {
            let is_allowed = allowed.as_ref().is_some_and(|allowed| allowed.contains(&user.name));
            user.dependencies.iter().any(|dependency| dependency == name) && !is_allowed
        };
        found.extend(
            locked.iter().filter(is_fault).map(|user| format!("{} uses {name}: {reason}", user.name)),
        );
    }
    found
}

#[test]
fn banned_crates_are_not_used() {
    assert_eq!(banned(&table("deny.toml"), &locked()), Vec::<String>::new());
}

#[test]
fn a_banned_crate_is_found() {
    let user = |name: &str, uses: &str| Locked {
        name: name.to_owned(),
        source: None,
        dependencies: vec![uses.to_owned()],
    };
    let locked = [user("kube-cel", "chrono"), user("daskflow", "chrono"), user("x", "openssl")];
    let found = banned(&table("deny.toml"), &locked);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|fault| fault.starts_with("daskflow uses chrono: ")), "{found:?}");
    assert!(found.iter().any(|fault| fault.starts_with("x uses openssl: ")), "{found:?}");
}

/// Crates that compute signatures and ciphers for TLS: whoever adds one to the world adds it here.
const PROVIDERS: [&str; 9] = [
    "ring",
    "aws-lc-rs",
    "aws-lc-sys",
    "boring",
    "openssl",
    "openssl-sys",
    "rustls-rustcrypto",
    "rustls-openssl",
    "s2n-tls",
];

#[test]
fn ring_is_the_only_crypto_provider() {
    let locked = locked();
    let used: Vec<_> = (locked.iter().map(|package| package.name.as_str()))
        .filter(|name| PROVIDERS.contains(name))
        .collect();
    assert_eq!(used, ["ring"]);
}

#[test]
fn every_crate_comes_from_crates_io() {
    let allowed = words(&table("deny.toml")["sources"]["allow-registry"]);
    assert_eq!(allowed, ["https://github.com/rust-lang/crates.io-index"]);
    let [registry] = allowed.try_into().unwrap_or_default();
    for package in locked() {
        let source = package.source.unwrap_or_default();
        let is_ours = package.name == "daskflow" && source.is_empty();
        assert!(is_ours || source == format!("registry+{registry}"), "{}: {source}", package.name);
    }
}

/// The crates that compiling for the image's platform needs, those of the tests among them.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Whether the licences that are allowed suffice for this expression.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    // The form "MIT/Apache-2.0" of older crates means OR.
    let Ok(read) = spdx::Expression::parse_mode(expression, spdx::ParseMode::LAX) else { return false };
    read.evaluate(|wanted| allowed.contains(&wanted.to_string()))
}

#[test]
fn every_licence_is_allowed() {
    let allowed = words(&table("deny.toml")["licenses"]["allow"]);
    let packages = packages();
    assert!(packages.len() > 100, "only {} crates were found", packages.len());
    for package in packages {
        let expression = package["license"].as_str().unwrap_or("none");
        assert!(is_allowed(expression, &allowed), "{}: {expression} is not in deny.toml", package["name"]);
    }
}

#[test]
fn licences_are_told_apart() {
    let allowed = ["MIT".to_owned(), "Apache-2.0".to_owned()];
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "MIT AND Apache-2.0"] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0 WITH LLVM-exception", "none", ""] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_allowed_licence_is_used() {
    let packages = packages();
    let expressions: Vec<_> = packages.iter().filter_map(|package| package["license"].as_str()).collect();
    for licence in words(&table("deny.toml")["licenses"]["allow"]) {
        assert!(expressions.iter().any(|expression| expression.contains(&licence)), "{licence} is spare");
    }
}

#[test]
fn image_and_chart_have_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("Dockerfile").contains(&format!("\nARG VERSION={version}\n")), "Dockerfile: ARG VERSION");
    let chart: Value = serde_yaml::from_str(&read("charts/daskflow/Chart.yaml")).unwrap();
    assert_eq!((&chart["version"], &chart["appVersion"]), (&Value::from(version), &Value::from(version)));
}
