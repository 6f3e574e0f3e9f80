//! The layers together, and what is said when they cannot be used.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::*;

/// Loads a file, variables and `--set` flags.
fn load(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, ConfigErrors> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("widecast.toml");
    fs::write(&path, file).unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    let mut layers = Layers::new().file(&path).variables(variables);
    for flag in flags {
        layers = layers.set(flag);
    }
    layers.load()
}

/// The message for a file that cannot be used, without the directory it was in.
fn refusal(file: &str) -> String {
    let message = load(file, &[], &[]).unwrap_err().to_string();
    match message.find("widecast.toml") {
        Some(at) => message[at..].to_owned(),
        None => message,
    }
}

fn source(loaded: &Loaded, key: &str) -> String {
    let entries = loaded.entries();
    let entry = entries.iter().find(|entry| entry.key == key).unwrap();
    match &entry.source {
        SettingSource::File { line, .. } => format!("line {line}"),
        other => other.to_string(),
    }
}

#[test]
fn without_anything_the_defaults_hold() {
    let loaded = Layers::new().load().unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(
        loaded
            .entries()
            .iter()
            .all(|entry| entry.value == entry.default)
    );
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let file = "[limits]\nmessage_bytes = 11\nchannels_per_session = 12\nmessages_per_batch = 13\n";
    let variables = [
        ("WIDECAST_LIMITS_CHANNELS_PER_SESSION", "22"),
        ("WIDECAST_LIMITS_MESSAGES_PER_BATCH", "23"),
    ];
    let loaded = load(file, &variables, &["limits.messages_per_batch=33"]).unwrap();
    let limits = &loaded.config.limits;
    assert_eq!(limits.message_bytes.get(), 11);
    assert_eq!(limits.channels_per_session, 22);
    assert_eq!(limits.messages_per_batch, 33);
    assert_eq!(limits.commands_per_frame, 256);
    assert_eq!(source(&loaded, "limits.message_bytes"), "line 2");
    let variable = "the environment variable WIDECAST_LIMITS_CHANNELS_PER_SESSION";
    assert_eq!(source(&loaded, "limits.channels_per_session"), variable);
    assert_eq!(source(&loaded, "limits.messages_per_batch"), "--set");
    assert_eq!(source(&loaded, "limits.commands_per_frame"), "default");
}

#[test]
fn a_namespace_takes_what_it_does_not_set_from_the_default_one() {
    let file = "[namespace.chat]\njsonp = true\n[namespace.default]\nhistory_messages = 7\n[namespace.empty]\n";
    let loaded = load(file, &[], &["namespace.a.b.publish=false"]).unwrap();
    let rules = &loaded.config.namespaces;
    assert_eq!(rules.named["chat"].history_messages, 7);
    assert!(rules.named["chat"].jsonp.is_on());
    assert!(!rules.default.jsonp.is_on());
    assert_eq!(rules.named["empty"], rules.default);
    assert!(!rules.named["a.b"].publish.is_on());
    assert_eq!(
        source(&loaded, "namespace.chat.history_messages"),
        "namespace.default"
    );
    assert_eq!(source(&loaded, "namespace.chat.publish"), "default");
}

#[test]
fn every_value_shown_can_be_read_back() {
    let shown = Layers::new().load().unwrap().entries();
    let lines: Vec<String> = shown
        .iter()
        .map(|entry| format!("{} = {}", entry.key, entry.value))
        .collect();
    assert_eq!(
        load(&lines.join("\n"), &[], &[]).unwrap().config,
        Config::default()
    );
}

#[test]
fn the_demos_are_switched_by_a_truth_or_a_word() {
    let demos = |file, flags: &[&str]| load(file, &[], flags).unwrap().config.server.demos;
    assert_eq!(demos("server.demos = true", &[]), Demos::Always);
    assert_eq!(demos("server.demos = 'loopback'", &[]), Demos::OnLoopback);
    assert_eq!(demos("", &["server.demos=false"]), Demos::Never);
    assert_eq!(
        demos("server.demos = true", &["server.demos=loopback"]),
        Demos::OnLoopback
    );
}

#[test]
fn lists_come_from_the_file_as_arrays_and_from_elsewhere_with_commas() {
    let listen = |loaded: Loaded| loaded.config.server.listen;
    let expected: Vec<SocketAddr> =
        vec!["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
    let file = "server.listen = [\"127.0.0.1:1\", \"[::1]:2\"]";
    assert_eq!(listen(load(file, &[], &[]).unwrap()), expected);
    let variable = [("WIDECAST_SERVER_LISTEN", "127.0.0.1:1, [::1]:2")];
    assert_eq!(listen(load("", &variable, &[]).unwrap()), expected);
}

#[test]
fn a_port_alone_and_localhost_are_loopback() {
    let listen = |flag: &str| load("", &[], &[flag]).unwrap().config.server.listen;
    let expected: Vec<SocketAddr> = vec!["127.0.0.1:8090".parse().unwrap()];
    assert_eq!(listen("server.listen=localhost:8090"), expected);
    assert_eq!(listen("server.listen=:8090"), expected);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let file = "[limits]\nmesage_bytes = 1\nmessage_bytes = 9000000\n[server]\nworkers = 0\nlisten = ['0.0.0.0:80']\n[poll]\ntimeout_ms = 61000\nmax_timeout_ms = 'long'";
    let variables = [("WIDECAST_LISTEN", ":80"), ("WIDECAST_LOG_FORMAT", "xml")];
    let errors = load(file, &variables, &["workers"]).unwrap_err();
    let text = errors.to_string();
    let lines = text.lines().map(|line| match line.find("widecast.toml") {
        Some(at) => &line[at..],
        None => line,
    });
    let lines: Vec<&str> = lines.collect();
    // The contradiction of the poll's times is not among them: one of the two could not be read.
    insta::assert_snapshot!(lines.join("\n"), @r#"
    unknown environment variable WIDECAST_LISTEN (did you mean WIDECAST_SERVER_LISTEN?); those that begin with WIDECAST_ are settings
    --set workers: expected KEY=VALUE, such as --set limits.message_bytes=65536
    widecast.toml:2: unknown setting limits.mesage_bytes (did you mean limits.message_bytes?); `widecast config show` lists all
    widecast.toml:9: poll.max_timeout_ms = "long": expected a whole number from 0 to 3600000
    widecast.toml:5: server.workers = 0: expected "cores" or a whole number from 1 to 1024
    the environment variable WIDECAST_LOG_FORMAT: log.format = xml: expected text or json
    0.0.0.0:80 can be reached from other machines and no authentication is configured: configure it ([auth] in docs/authentication.md), listen on a loopback address, or accept that anybody may read and write every channel with --allow-public-without-authentication
    limits.message_bytes must be at most limits.request_bytes: change one of the two
    "#);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
    insta::assert_snapshot!(refusal("\n[limits]\nmesage_bytes = 1"), @"widecast.toml:3: unknown setting limits.mesage_bytes (did you mean limits.message_bytes?); `widecast config show` lists all");
    insta::assert_snapshot!(refusal("[sever]\nlisten = 1"), @"widecast.toml:2: unknown setting sever.listen (did you mean server.listen?); `widecast config show` lists all");
    insta::assert_snapshot!(refusal("listen = \"127.0.0.1:1\""), @"widecast.toml:1: unknown setting listen (did you mean server.listen?); `widecast config show` lists all");
    insta::assert_snapshot!(refusal("[namespace.chat]\nhistory_mesages = 1"), @"widecast.toml:2: unknown setting namespace.chat.history_mesages (did you mean namespace.chat.history_messages?); `widecast config show` lists all");
    insta::assert_snapshot!(refusal("[namespace.chat.extra]\nx = 1"), @"widecast.toml:1: unknown setting namespace.chat.extra (did you mean namespace.chat.user?); `widecast config show` lists all");
    insta::assert_snapshot!(refusal("[telemetry]"), @"widecast.toml:1: unknown setting telemetry; `widecast config show` lists all");
    insta::assert_snapshot!(refusal("[server.tls]\ncert = 'x'"), @"widecast.toml:2: unknown setting server.tls.cert; `widecast config show` lists all");
}

#[test]
fn a_misspelled_key_has_its_nearest_name_in_whatever_table_it_is() {
    let nearest = |file: &str| {
        let message = refusal(file);
        let (_, hint) = message.split_once("did you mean ").expect(&message);
        hint.split('?').next().unwrap().to_owned()
    };
    for (file, expected) in [
        ("[[auth.api_key]]\nnam = 'x'", "auth.api_key.0.name"),
        (
            "[[auth.api_key]]\nname = 'x'\n[[auth.api_key]]\nhsh = 'x'",
            "auth.api_key.1.hash",
        ),
        (
            "[auth]\napi_key = [{ adresses = [] }]",
            "auth.api_key.0.addresses",
        ),
        ("[[auth.api_keys]]\nname = 'x'", "auth.api_key.0.name"),
        ("[auth.api_key]\nnam = 'x'", "auth.api_key"),
        ("[[api_key]]\nname = 'x'", "auth.api_key"),
        ("[auth]\njwt = { issuer = 'x' }", "auth.jwt.issuers"),
        ("auth.hook = { timeout = 1 }", "auth.hook.timeout_ms"),
        ("[[auth.jwt]]\nissuer = 'x'", "auth.jwt.issuers"),
        ("[hook]\nurl = 'x'", "auth.hook.url"),
        (
            "namespace = { chat = { jsnp = true } }",
            "namespace.chat.jsonp",
        ),
        ("engine = { kept = { kin = 'disk' } }", "engine.kept.kind"),
    ] {
        assert_eq!(nearest(file), expected, "{file}");
    }
}

#[test]
fn api_keys_are_a_list_of_tables() {
    insta::assert_snapshot!(refusal("[auth.api_key]\nname = 'x'"), @r#"widecast.toml:2: auth.api_key.name = "x": expected a list of tables, one for each key: [[auth.api_key]]"#);
    insta::assert_snapshot!(refusal("[auth.api_key]"), @"widecast.toml:1: auth.api_key = {}: expected a list of tables, one for each key: [[auth.api_key]]");
    insta::assert_snapshot!(refusal("[[auth.api_key]]"), @r#"auth.api_key 1 "" has no name"#);
    insta::assert_snapshot!(refusal("[auth]\nhook = 5"), @"widecast.toml:2: auth.hook = 5: expected a section with keys: [auth.hook]");
    assert!(load("[auth]\napi_key = []", &[], &[]).is_ok());
}

#[test]
fn an_error_repeats_no_secret() {
    for file in [
        "[auth.hook]\nurl = 'https://me:hunter2@login.example'",
        "[auth.jwt]\njwks_urls = ['https://me:hunter2@login.example']",
        "[engine.default]\nurl = ['redis://:hunter2@here']",
        "[engine.default]\nurls = ['redis://:hunter2@here', 'redis://:…@there']",
        "[[auth.api_key]]\nname = 'x'\nhash = 'wck_hunter2'",
    ] {
        let message = refusal(file);
        assert!(!message.contains("hunter2"), "{message}");
    }
    let url = "redis://:hunter2@here";
    let message = load("", &[], &[url]).unwrap_err().to_string();
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn a_wrong_value_is_refused_with_what_was_expected() {
    insta::assert_snapshot!(refusal("[server]\nlisten = '0.0.0.0'"), @r#"widecast.toml:2: server.listen = "0.0.0.0": expected a list, each item an IP address with a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080"#);
    insta::assert_snapshot!(refusal("[server]\nlisten = ['a:1', 3]"), @r#"widecast.toml:2: server.listen = ["a:1", 3]: expected a list, each item an IP address with a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080"#);
    insta::assert_snapshot!(refusal("[server]\nworkers = 0"), @r#"widecast.toml:2: server.workers = 0: expected "cores" or a whole number from 1 to 1024"#);
    insta::assert_snapshot!(refusal("[server]\nallow_public_without_authentication = 'yes'"), @r#"widecast.toml:2: server.allow_public_without_authentication = "yes": expected true or false"#);
    insta::assert_snapshot!(refusal("[server]\ndemos = 'yes'"), @r#"widecast.toml:2: server.demos = "yes": expected true, false or "loopback""#);
    insta::assert_snapshot!(refusal("[server]\nbacklog = 99999999999999999999"), @"widecast.toml:2: server.backlog = 99999999999999999999: expected a whole number from 1 to 65535");
    insta::assert_snapshot!(refusal("[limits]\nmessage_bytes = -1"), @"widecast.toml:2: limits.message_bytes = -1: expected a whole number from 1 to 33554432");
    insta::assert_snapshot!(refusal("[limits]\nmessage_bytes = '1MiB'"), @r#"widecast.toml:2: limits.message_bytes = "1MiB": expected a whole number from 1 to 33554432"#);
    insta::assert_snapshot!(refusal("[heartbeat]\ninterval_ms = 1.5"), @"widecast.toml:2: heartbeat.interval_ms = 1.5: expected a whole number from 10 to 3600000");
    insta::assert_snapshot!(refusal("[log]\nfilter = 'loud'"), @r#"widecast.toml:2: log.filter = "loud": expected error, warn, info, debug, trace or off, or a list such as info,widecast::session=debug"#);
    insta::assert_snapshot!(refusal("[namespace.default]\nslow_consumer = 'wait'"), @r#"widecast.toml:2: namespace.default.slow_consumer = "wait": expected disconnect, drop_oldest or latest"#);
    insta::assert_snapshot!(refusal("server = 1"), @"widecast.toml:1: server = 1: expected a section with keys: [server]");
    insta::assert_snapshot!(refusal("[server.listen]"), @r#"widecast.toml:1: server.listen = {}: expected a value such as ["127.0.0.1:8080"]"#);
    insta::assert_snapshot!(refusal("namespace = 1"), @"widecast.toml:1: namespace = 1: expected a section with keys: [namespace]");
    insta::assert_snapshot!(refusal("namespace.chat = 1"), @"widecast.toml:1: namespace.chat = 1: expected a section with keys: [namespace.chat]");
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_the_place() {
    insta::assert_snapshot!(refusal("[server]\nlisten = é"), @"widecast.toml:2:10: not valid TOML: string values must be quoted, expected literal string");
    insta::assert_snapshot!(refusal("[server\n"), @"widecast.toml:1:8: not valid TOML: unclosed table, expected `]`");
    insta::assert_snapshot!(refusal("[log]\nformat = 'json'\nformat = 'text'"), @"widecast.toml:3:1: not valid TOML: duplicate key");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    insta::assert_snapshot!(refusal("server.listen = []"), @"server.listen is empty: name at least one address, such as 127.0.0.1:8080");
    insta::assert_snapshot!(refusal("server.listen = ['127.0.0.1:80', '0.0.0.0:80']"), @"0.0.0.0:80 can be reached from other machines and no authentication is configured: configure it ([auth] in docs/authentication.md), listen on a loopback address, or accept that anybody may read and write every channel with --allow-public-without-authentication");
    insta::assert_snapshot!(refusal("poll.timeout_ms = 61000"), @"poll.timeout_ms must be at most poll.max_timeout_ms: change one of the two");
    insta::assert_snapshot!(refusal("limits.message_bytes = 9000000"), @"limits.message_bytes must be at most limits.request_bytes: change one of the two");
    insta::assert_snapshot!(refusal("[limits]\nrequest_bytes = 70000000"), @"limits.request_bytes must be at most limits.unfinished_bytes: change one of the two");
    insta::assert_snapshot!(refusal("[limits]\nmemory_bytes = 60000000"), @"
    limits.memory_bytes must be 0 or at least eight times limits.request_bytes: change one of the two
    limits.memory_bytes must be 0 or at least eight times limits.bytes_per_history: change one of the two
    ");
    let small =
        "[limits]\nmemory_bytes = 16000000\nrequest_bytes = 2000000\nbytes_per_history = 2000000";
    assert!(load(small, &[], &[]).is_ok());
    let allowed =
        "server.listen = ['0.0.0.0:80']\nserver.allow_public_without_authentication = true";
    assert!(load(allowed, &[], &[]).is_ok());
}

#[test]
fn variables_and_flags_are_refused_by_their_names() {
    let message = |variables: &[(&str, &str)], flags: &[&str]| {
        load("", variables, flags).unwrap_err().to_string()
    };
    insta::assert_snapshot!(message(&[("WIDECAST_LIMITS_MESSAGE_BYTES", "1k")], &[]), @"the environment variable WIDECAST_LIMITS_MESSAGE_BYTES: limits.message_bytes = 1k: expected a whole number from 1 to 33554432");
    insta::assert_snapshot!(message(&[("WIDECAST_NAMESPACE_CHAT_JSNP", "true")], &[]), @"unknown environment variable WIDECAST_NAMESPACE_CHAT_JSNP (did you mean WIDECAST_NAMESPACE_DEFAULT_JSONP?); those that begin with WIDECAST_ are settings");
    insta::assert_snapshot!(message(&[], &["limits.message_bytes"]), @"--set limits.message_bytes: expected KEY=VALUE, such as --set limits.message_bytes=65536");
    insta::assert_snapshot!(message(&[], &["limits.message=1"]), @"--set: unknown setting limits.message (did you mean limits.message_bytes?); `widecast config show` lists all");
    insta::assert_snapshot!(message(&[], &["server.listen=example.com:80"]), @"--set: server.listen = example.com:80: expected a list, each item an IP address with a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080");
}

#[test]
fn a_missing_file_is_named() {
    let layers = Layers::new().file(Path::new("/nowhere/w.toml"));
    let error = layers.load().unwrap_err();
    insta::assert_snapshot!(error, @"cannot read the configuration file /nowhere/w.toml");
}

/// `UPDATE_DOCS=1` writes the reference instead of comparing it.
#[test]
fn the_configuration_reference_lists_exactly_these_settings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, listed) = text.split_once("`. -->\n").unwrap();
    let expected = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(
            &path,
            format!("{before}`. -->\n\n{}\n", expected.trim_end()),
        )
        .unwrap();
        return;
    }
    let cure = "UPDATE_DOCS=1 cargo test -p widecast configuration_reference";
    assert_eq!(
        listed.trim(),
        expected.trim(),
        "docs/configuration.md is not up to date: {cure}"
    );
}

#[test]
fn parts_without_room_for_the_largest_message_are_warned_of() {
    let warnings = |file: &str| load(file, &[], &[]).unwrap().config.warnings().join("\n");
    insta::assert_snapshot!(warnings("outbox.bytes = 65536\n[namespace.chat]\nhistory_bytes = 65536"), @"
    namespace.chat.history_bytes is less than limits.message_bytes: a subscriber that is away when a larger message comes is told of a gap
    outbox.bytes is less than limits.message_bytes: without room in the history either, a larger message is lost to a subscriber that is behind
    ");
    insta::assert_snapshot!(warnings("history.total_bytes = 65536"), @"history.total_bytes is less than limits.message_bytes: a subscriber that is away when a larger message comes is told of a gap");
    for fine in [
        "",
        "outbox.bytes = 65536",
        "[namespace.chat]\nhistory_bytes = 0",
        "limits.message_bytes = 65536\n[namespace.chat]\nhistory_bytes = 65536",
        "history.total_bytes = 0",
    ] {
        assert_eq!(warnings(fine), "", "{fine}");
    }
}

#[test]
fn an_engine_is_configured_by_its_name_and_chosen_by_a_namespace() {
    let file = "[engine.kept]\nkind = \"disk\"\npath = \"data\"\n\n[namespace.orders]\nengine = \"kept\"\n";
    let variables = [("WIDECAST_ENGINE_KEPT_DURABILITY", "power")];
    let flags = ["engine.default.kind=memory"];
    let config = load(file, &variables, &flags).unwrap().config;
    let kept = config.engines.get("kept").unwrap();
    assert_eq!(kept.kind, EngineKind::Disk);
    assert_eq!(kept.durability, Durability::Power);
    let orders = &config.namespaces.named["orders"];
    assert_eq!(orders.engine.as_str(), "kept");
    assert_eq!(config.namespaces.default.engine.as_str(), "default");
}

#[test]
fn engines_that_cannot_be_used_are_refused() {
    insta::assert_snapshot!(refusal("[engine.a]\nkind = \"disk\"\n"), @"engine.a is of kind disk and has no path: set engine.NAME.path to a directory");
    insta::assert_snapshot!(refusal("[engine.a]\nkind = \"disk\"\npath = \"x\"\n[engine.b]\nkind = \"disk\"\npath = \"x\"\n"), @"engine.b has the path of engine.a: each engine needs a directory of its own");
    insta::assert_snapshot!(refusal("[engine.a]\nkind = \"redis\"\ntrust_persistence = true\nurls = [\"redis+sentinel://a/b\"]\n"), @"engine.a has trust_persistence = true and Sentinels or a cluster: a replica that takes over may lack messages that were heard, which would then be lost silently; take trust_persistence away");
    insta::assert_snapshot!(refusal("[engine.a]\nkind = \"redis\"\ntrust_persistence = true\nurl = \"redis+cluster://a\"\n"), @"engine.a has trust_persistence = true and Sentinels or a cluster: a replica that takes over may lack messages that were heard, which would then be lost silently; take trust_persistence away");
    insta::assert_snapshot!(refusal("[namespace.chat]\nengine = \"kept\"\n"), @r#"namespace.chat.engine = "kept": there is no such engine; configure it in a section [engine.kept], or choose "default""#);
    insta::assert_snapshot!(refusal("[engine.default]\nkin = \"disk\"\n"), @"widecast.toml:2: unknown setting engine.default.kin (did you mean engine.default.kind?); `widecast config show` lists all");
}
