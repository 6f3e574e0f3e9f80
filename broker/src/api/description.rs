//! `docs/openapi.yaml` describes exactly the endpoints and codes there are.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use widecast_protocol::Code;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(path).unwrap()
}

/// The paths of the router: the places where endpoints are mounted are the tables of paths.
fn mounted() -> BTreeSet<String> {
    let tables = [
        "src/api/routing.rs",
        "src/pages/mod.rs",
        "src/transports/mod.rs",
        "src/health.rs",
    ]
    .map(read);
    let mut paths = BTreeSet::new();
    for table in &tables {
        for endpoint in table.split("Endpoint::at(\"").skip(1) {
            let path = endpoint.split('"').next().unwrap();
            paths.insert(path.replace(":[^/]*", ""));
        }
    }
    paths
}

fn described() -> BTreeSet<String> {
    let description = read("../docs/openapi.yaml");
    let lines = description.lines();
    let paths = lines.filter_map(|line| line.strip_prefix("  /")?.strip_suffix(':'));
    paths.map(|path| format!("/{path}")).collect()
}

#[test]
fn every_endpoint_is_described() {
    assert_eq!(mounted(), described());
}

#[test]
fn every_code_is_described() {
    let description = read("../docs/openapi.yaml");
    let (_, codes) = description.split_once("    Code:\n").unwrap();
    let (_, codes) = codes.split_once("enum:\n").unwrap();
    let codes: Vec<_> = codes
        .lines()
        .map(|line| line.trim_start_matches([' ', '-']))
        .collect();
    let expected: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes, expected);
}

#[test]
fn the_version_is_the_brokers() {
    let version = format!("\n  version: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(read("../docs/openapi.yaml").contains(&version));
}
