//! The layer rules of `ARCHITECTURE.md`: each layer of the broker and of the protocol uses only what is below it, and the protocol
//! knows nothing of servers. Read off the sources, because the compiler does not know layers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The layers of the broker from top to bottom; those on one line do not know each other.
const LAYERS: [&[&str]; 8] = [
    &["main"],
    &["app"],
    &["transports", "api", "pages"],
    &["http"],
    &["session"],
    &["registry"],
    &["engine"],
    &["history", "presence"],
];

/// The layers of the protocol from top to bottom; those on one line do not know each other.
const PROTOCOL_LAYERS: [&[&str]; 12] = [
    &["encoded", "record"],
    &["framing"],
    &["codec"],
    &["reply"],
    &["command"],
    &["cursor"],
    &["message"],
    &["payload"],
    &["gzip"],
    &["value"],
    &["name", "held"],
    &["error"],
];

/// What every layer of the protocol may use.
const PROTOCOL_GROUND: &str = "codes";

/// What anyone may use; they use the protocol and, at most, `config`.
const LEAVES: [&str; 6] = [
    "config",
    "auth",
    "log_limit",
    "memory_budget",
    "metrics",
    "offload",
];

/// Everything that is in no layer of the rule, with what it may use besides the leaves.
const BESIDE: [(&str, &[&str]); 7] = [
    // Below everything that speaks HTTP: connections, detaching, TLS.
    ("net", &["limits"]),
    // What the clients of an address may have: asked by whoever lets them have it.
    ("limits", &[]),
    // What the broker itself asks others for.
    ("outbound_http", &[]),
    // What the operator asks: parts of the top, for `app` to put together.
    ("health", &["http", "session", "registry", "engine"]),
    ("shutdown", &["session", "registry", "engine", "net"]),
    ("greeting", &[]),
    // The command line's own clients: they talk to a broker over the network, not inside the process.
    ("cli", &["app", "net", "outbound_http", "shutdown"]),
];

/// What may be used from anywhere below `app`, though it is in no layer.
const SHARED: [&str; 3] = ["net", "limits", "outbound_http"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file below the directory, with its path from there.
fn sources(directory: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path)?;
                found.push((path.strip_prefix(directory)?.to_owned(), text));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether the whole file is compiled for tests only.
fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy());
    stem.is_some_and(|stem| stem == "testing" || stem == "tests" || stem.ends_with("_tests"))
}

/// The top-level module a file belongs to.
fn module(path: &Path) -> String {
    let first = path
        .components()
        .next()
        .map(|part| part.as_os_str().to_string_lossy());
    let first = first.unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(&first).to_owned()
}

/// The top-level modules that the code names by a path from the crate's root, tests not counted.
fn used(text: &str, roots: &[&str]) -> Vec<String> {
    let code = text
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text);
    let lines = code
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"));
    let code: String = lines.flat_map(|line| [line, "\n"]).collect();
    let mut modules = Vec::new();
    for root in roots {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            modules.extend(named(&code[at + root.len()..]));
        }
    }
    modules.sort();
    modules.dedup();
    modules
}

/// The first names after `crate::`: one, or those in braces.
fn named(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim()
            .chars()
            .take_while(|&c| c.is_alphanumeric() || c == '_')
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let mut depth = 0;
    let mut names = vec![String::new()];
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            c => names.last_mut().into_iter().for_each(|name| name.push(c)),
        }
    }
    let words = names.iter().map(|name| word(name));
    words.filter(|name| !name.is_empty()).collect()
}

fn level(layers: &[&[&str]], module: &str) -> Option<usize> {
    layers.iter().position(|layer| layer.contains(&module))
}

/// Why `from` may not use `to` in the protocol, if it may not.
fn forbidden_in_protocol(from: &str, to: &str) -> Option<String> {
    if from == to || to == PROTOCOL_GROUND {
        return None;
    }
    match (level(&PROTOCOL_LAYERS, from), level(&PROTOCOL_LAYERS, to)) {
        (Some(from_level), Some(to_level)) if to_level > from_level => None,
        _ => Some(format!("`{from}` uses `{to}`, which is not below it")),
    }
}

/// The modules at the root of a crate.
fn modules_of(crate_root: &str) -> Result<BTreeSet<String>> {
    let sources = sources(&root().join(crate_root))?;
    let modules = sources.iter().map(|(path, _)| module(path));
    Ok(modules.filter(|name| name != "lib").collect())
}

/// Why `from` may not use `to`, if it may not.
fn forbidden(from: &str, to: &str) -> Option<String> {
    let is_leaf = |module: &str| LEAVES.contains(&module);
    // A name in capitals is an item of the crate's root, not a module.
    if from == to || to.starts_with(char::is_uppercase) {
        return None;
    }
    if is_leaf(from) {
        let allowed = to == "config" && from != "config";
        return (!allowed).then(|| format!("`{from}` is a leaf and uses `{to}`"));
    }
    if is_leaf(to) {
        return None;
    }
    if let Some((_, allowed)) = BESIDE.iter().find(|(module, _)| *module == from) {
        let allowed = allowed.contains(&to);
        return (!allowed).then(|| format!("`{from}` uses `{to}`"));
    }
    let Some(from_level) = level(&LAYERS, from) else {
        return Some(format!("`{from}` has no place in the layer rule"));
    };
    match level(&LAYERS, to) {
        Some(to_level) if to_level > from_level => None,
        Some(_) => Some(format!("`{from}` uses `{to}`, which is not below it")),
        None if SHARED.contains(&to) || from_level <= 1 => None,
        None => Some(format!("`{from}` uses `{to}`")),
    }
}

#[test]
fn no_layer_of_the_broker_uses_what_is_not_below_it() -> Result<()> {
    let mut wrong = Vec::new();
    for (path, text) in sources(&root().join("broker/src"))? {
        let from = module(&path);
        if from == "lib" || is_test(&path) {
            continue;
        }
        let roots: &[&str] = if from == "main" {
            &["crate::", "widecast::"]
        } else {
            &["crate::"]
        };
        for to in used(&text, roots) {
            wrong.extend(forbidden(&from, &to).map(|why| format!("{}: {why}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn no_layer_of_the_protocol_uses_what_is_not_below_it() -> Result<()> {
    let mut wrong = Vec::new();
    for (path, text) in sources(&root().join("protocol/src"))? {
        let from = module(&path);
        if from == "lib" || is_test(&path) {
            continue;
        }
        for to in used(&text, &["crate::"]) {
            let why = forbidden_in_protocol(&from, &to);
            wrong.extend(why.map(|why| format!("{}: {why}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_rules_name_every_module_and_no_other() -> Result<()> {
    let beside = BESIDE.iter().map(|(module, _)| *module);
    let named = LAYERS.iter().copied().flatten().copied();
    let broker: BTreeSet<_> = named
        .chain(LEAVES)
        .chain(beside)
        .map(str::to_owned)
        .collect();
    assert_eq!(broker, modules_of("broker/src")?);
    let named = PROTOCOL_LAYERS.iter().copied().flatten().copied();
    let protocol: BTreeSet<_> = named.chain([PROTOCOL_GROUND]).map(str::to_owned).collect();
    assert_eq!(protocol, modules_of("protocol/src")?);
    Ok(())
}

#[test]
fn the_protocol_knows_neither_servers_nor_clocks_nor_logs() -> Result<()> {
    const FOREIGN: [&str; 9] = [
        "actix",
        "tokio",
        "tracing",
        "rand::",
        "SystemTime",
        "Instant::",
        "std::net",
        "std::fs",
        "std::thread",
    ];
    for (path, text) in sources(&root().join("protocol/src"))? {
        let code = text
            .split("\n#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or(&text);
        let lines = code
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.starts_with("//"));
        for line in lines {
            let found = FOREIGN.iter().find(|&&word| line.contains(word));
            assert_eq!(found, None, "{}: {line}", path.display());
        }
    }
    Ok(())
}

#[test]
fn the_client_knows_neither_the_broker_nor_its_actors() -> Result<()> {
    const FOREIGN: [&str; 3] = ["actix", "widecast::", "unbounded"];
    for (path, text) in sources(&root().join("clients/rust/src"))? {
        let found = FOREIGN.iter().find(|&&word| text.contains(word));
        assert_eq!(found, None, "{}", path.display());
    }
    let manifest = fs::read_to_string(root().join("clients/rust/Cargo.toml"))?;
    let names = manifest.lines().filter_map(|line| line.split_once(" = "));
    let broker = names.filter(|(name, _)| *name == "widecast" || name.starts_with("actix"));
    assert_eq!(broker.count(), 0, "the client depends on the broker");
    Ok(())
}

/// What of the client has to be testable without a network: what reads bytes, and what decides.
const SANS_IO: [&str; 5] = [
    "backoff.rs",
    "frame.rs",
    "session/channels/mod.rs",
    "stream/event_stream.rs",
    "stream/lines.rs",
];

#[test]
fn the_modules_of_the_client_that_decide_do_no_io() -> Result<()> {
    for name in SANS_IO {
        let text = fs::read_to_string(root().join("clients/rust/src").join(name))?;
        let mut code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let io = code.find(|line| {
            ["async ", "tokio", "crate::http"]
                .iter()
                .any(|word| line.contains(word))
        });
        assert_eq!(io, None, "{name}");
    }
    Ok(())
}

#[test]
fn endpoints_and_commands_read_and_publish_through_the_doors_of_the_session() -> Result<()> {
    const DOORS: [&str; 8] = [
        // How long anybody waits for the engine.
        "session/services.rs",
        "session/reading.rs",
        "session/publisher.rs",
        // Joining reads where to begin, behind the right to subscribe; being listed enters and leaves.
        "session/join.rs",
        "session/listing.rs",
        // What nodes tell each other.
        "session/nodes/announcing.rs",
        "session/nodes/mod.rs",
        // The figures of all channels together, for the operator.
        "api/scrape.rs",
    ];
    for (path, text) in sources(&root().join("broker/src"))? {
        let from = module(&path);
        let is_above = ["transports", "api", "http", "session"].contains(&from.as_str());
        let is_door = DOORS.iter().any(|door| path.ends_with(door));
        if !is_above || is_door || is_test(&path) || path.ends_with("simulation.rs") {
            continue;
        }
        let code = text.split("\n#[cfg(test)]\nmod tests {").next();
        let asks = code.unwrap_or(&text).contains(".engine");
        assert!(!asks, "{} asks the engine by itself", path.display());
    }
    Ok(())
}

#[test]
fn a_session_never_names_a_transport_and_the_registry_never_a_session() {
    assert!(forbidden("session", "transports").is_some());
    assert!(forbidden("registry", "session").is_some());
    assert!(forbidden("engine", "registry").is_some());
    assert!(forbidden("metrics", "engine").is_some());
    assert!(forbidden("transports", "api").is_some());
    assert!(forbidden("transports", "session").is_none());
    assert!(forbidden("auth", "config").is_none());
    assert!(forbidden_in_protocol("gzip", "payload").is_some());
    assert!(forbidden_in_protocol("payload", "codes").is_none());
}

#[test]
fn uses_are_found_however_they_are_written() {
    let text = "use crate::{engine::{Engine, memory::Memory}, history};\nlet x = crate::app::run();\n\
                // crate::session is only spoken of\npub(in crate::registry) fn f() {}\nmycrate::api();";
    assert_eq!(
        used(text, &["crate::"]),
        ["app", "engine", "history", "registry"]
    );
}
