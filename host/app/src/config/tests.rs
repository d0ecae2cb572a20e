use super::*;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.toml");
    std::fs::write(&path, file).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Config::from_layers(Some(&path), environment.collect::<Vec<_>>())
        .map_err(|errors| errors.to_string().replace(&path.display().to_string(), "FILE"))
}

fn check_error(file: &str, environment: &[(&str, &str)], expected: &[&str]) {
    let found = load(file, environment).unwrap_err();
    let lines: Vec<_> = found.lines().skip(1).map(str::trim).collect();
    assert_eq!(lines.len(), expected.len(), "{found}");
    for part in expected {
        assert!(lines.iter().any(|line| line.contains(part)), "{part:?} is missing in\n{found}");
    }
}

#[test]
fn defaults_are_the_customers_values() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.kafka.topic, "ad-events");
    assert_eq!(config.kafka.group, "click-balance-processor");
    assert_eq!((config.kafka.lanes, config.kafka.poll_records_max), (3, 100));
    assert_eq!(config.kafka.session_timeout_ms, 30_000);
    assert_eq!(config.kafka.first_sight, FirstSight::Latest);
    assert_eq!(config.redis.cpc_key, "cpc:{campaign_id}");
    assert_eq!(config.redis.budget_key, "daily_budget:{campaign_id}");
    assert_eq!(config.rules.threshold["warn_at"], ParamText(vec!["0.90".into()]));
    assert_eq!(config.rules.threshold["pause_at"], ParamText(vec!["1.00".into()]));
    assert!(config.admin.listen.starts_with("127.0.0.1:"));
}

#[test]
fn topics_are_the_customers_design() {
    let shapes = |config: Config| -> Vec<_> {
        let specs = config.topic_specs().into_iter();
        specs.map(|spec| (spec.name, spec.partitions, spec.retention_ms.unwrap_or(0))).collect()
    };
    let expected = [
        ("campaign-events", 4, 7),
        ("ad-events", 8, 7),
        ("conversion-events", 4, 3),
        ("compensation-events", 4, 3),
        ("ad-events.dlq", 1, 7),
        ("compensation-events.dlq", 1, 7),
        ("campaign-events.unusable", 1, 7),
        ("ad-events.unusable", 1, 7),
        ("conversion-events.unusable", 1, 7),
    ];
    let expected = expected.map(|(name, partitions, days): (&str, i32, i64)| {
        (name.to_owned(), partitions, days * 86_400_000)
    });
    assert_eq!(shapes(load("", &[]).unwrap()), expected);
    let file = "[kafka]\ntopic = \"clicks\"\n[campaign_events]\ntopic = \"\"\n[dead_letters]\npublish = false\n\
                [topics.ad_events]\nretention_days = -1";
    let named: Vec<_> = shapes(load(file, &[]).unwrap());
    assert_eq!(named[0], ("clicks".to_owned(), 8, -1));
    assert_eq!(named.len(), 5);
    check_error(
        "[topics]\nreplication = 0\nconversion_topic = \" \"\n[topics.ad_events]\npartitions = 0",
        &[("TOLLGATE__TOPICS__DEAD_LETTERS__RETENTION_DAYS", "-2")],
        &[
            "topics.replication (from FILE): is 0, allowed is -1, or 1 to 100",
            "topics.conversion_topic (from FILE): must not be empty",
            "topics.ad_events.partitions (from FILE): is 0, allowed is 1 to 10000",
            "topics.dead_letters.retention_days",
        ],
    );
}

#[test]
fn environment_wins_over_file_and_file_over_default() {
    let file = "[kafka]\ntopic = \"from-file\"\nlanes = 5\n[rules.threshold]\nwarn_at = \"0.70\"";
    let environment = [
        ("TOLLGATE__KAFKA__LANES", "7"),
        ("TOLLGATE__KAFKA__PROPERTIES__SASL_PASSWORD", "secret"),
        ("TOLLGATE__RULES__THRESHOLD__WARN_AT", "0.80,0.95"),
        ("TOLLGATE__KAFKA__GROUP", ""),
        ("OTHER__KAFKA__LANES", "9"),
    ];
    let config = load(file, &environment).unwrap();
    assert_eq!((config.kafka.topic.as_str(), config.kafka.lanes), ("from-file", 7));
    assert_eq!(config.kafka.group, "click-balance-processor");
    assert_eq!(config.kafka.properties["sasl.password"], "secret");
    assert_eq!(config.rules.threshold["warn_at"].0, ["0.80", "0.95"]);
}

#[test]
fn all_errors_come_at_once_with_key_source_and_range() {
    check_error(
        "[kafka]\nlanse = 3\nlanes = 0\n[redis]\nurl = \"http://x\"\n[topic]\na = 1",
        &[("TOLLGATE__BATCH__CLICKS_MAX", "0"), ("TOLLGATE__KAFKA__BROKER", "x")],
        &[
            "kafka.lanse (from FILE): there is no such key; did you mean `lanes`?",
            "kafka.lanes (from FILE): is 0, allowed is 1 to 64",
            "redis.url (from FILE): must begin with redis:// or rediss://",
            "topic (from FILE): there is no such key",
            "batch.clicks_max (from TOLLGATE__BATCH__CLICKS_MAX): is 0, allowed is 1 to 100000",
            "kafka.broker (from TOLLGATE__KAFKA__BROKER): there is no such key; did you mean `brokers`?",
        ],
    );
}

#[test]
fn wrong_types_and_unreadable_files_are_named() {
    check_error(
        "[kafka]\nlanes = \"three\"",
        &[],
        &["kafka.lanes (from FILE): must be integer, not string"],
    );
    check_error("", &[("TOLLGATE__KAFKA__LANES", "x")], &["must be integer, not string"]);
    check_error("not toml", &[], &["FILE: is not TOML"]);
    check_error("[kafka]\nfirst_sight = \"middle\"", &[], &["kafka.first_sight (from FILE)"]);
    check_error(
        "[ledger]\nurl_file = \"missing\"",
        &[],
        &["ledger.url_file (from FILE): the file"],
    );
    check_error(
        "[fence]\ncharge_max = \"-1\"",
        &[],
        &["fence.charge_max (from FILE): must be a positive"],
    );
}

#[test]
fn history_is_kept_as_long_as_it_is_needed() {
    // Eight days that a click may be old, one for time zones, one that a compensation waits, one for the day itself.
    let days = |days: u32| [("TOLLGATE__HISTORY__RETENTION_DAYS".to_owned(), days.to_string())];
    for kept in [0, 11, 400] {
        let config = Config::from_layers(None, days(kept)).unwrap();
        assert_eq!((config.history.retention_days, config.retention_days_min()), (kept, 11));
    }
    check_error(
        "[history]\nretention_days = 10",
        &[],
        &["history.retention_days (from FILE): is 10, allowed is 11 to 36500"],
    );
}

#[test]
fn properties_that_safety_owns_are_refused_with_the_reason() {
    check_error(
        "[kafka.properties]\n\"enable.auto.commit\" = \"true\"\n\"fetch.min.bytes\" = \"1\"",
        &[],
        &["kafka.properties.enable.auto.commit (from FILE)"],
    );
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "postgres://toll:hush@db/ledger?sslmode=require&password=hush\n")
        .unwrap();
    let file = format!(
        "[ledger]\nurl_file = {secret:?}\n[kafka.properties]\n\"sasl.password\" = \"hush\"\n[redis]\nurl = \"redis://:hush@r:1/0\""
    );
    let config = load(&file, &[]).unwrap();
    assert!(config.ledger.url.contains("hush"));
    let shown = config.shown();
    assert!(!shown.contains("hush"), "{shown}");
    assert!(shown.contains("postgres://toll:***@db/ledger"), "{shown}");
}

fn check_url(url: &str, shown: &str) {
    assert_eq!(masked_url(url), shown);
}

#[test]
fn no_part_of_a_password_in_a_url_is_shown() {
    check_url("postgres://toll:hush@db:5432/ledger", "postgres://toll:***@db:5432/ledger");
    check_url("postgres://toll:hu@sh@db/ledger", "postgres://toll:***@db/ledger");
    check_url("postgres://toll:hu/sh@db/ledger", "postgres://***@db/ledger");
    check_url("postgres://toll:hu?sh@db/ledger?a=b", "postgres://***@db/ledger?a=b");
    check_url("postgres://toll:h@u/s?h@db/ledger", "postgres://***@db/ledger");
    check_url("postgres://toll:hu#sh@db/ledger", "postgres://toll:***@db/ledger");
    check_url("redis://:hu/sh@r:6379/0", "redis://***@r:6379/0");
    check_url("smtp://u:hu/sh@m:587?tls=required", "smtp://***@m:587?tls=required");
    check_url(
        "postgres://db/ledger?user=u&password=hu@sh&sslpassword=hush&a=b",
        "postgres://db/ledger?user=u&password=***&sslpassword=***&a=b",
    );
    for plain in ["sqlite://ledger.db", "redis://localhost:6379/0", "postgres://db/l?a=b", ""] {
        check_url(plain, plain);
    }
    assert_eq!(
        masked_path("https://hooks.slack.com/services/T/B/x"),
        "https://hooks.slack.com/***"
    );
    assert_eq!(masked_path("https://u:hush@hooks/x"), "https://hooks/***");
    assert_eq!(masked_path("https://u:hu/sh@hooks/x"), "https://***");
}

#[test]
fn properties_that_librdkafka_takes_for_secrets_are_not_shown() {
    for name in [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.kerberos.kinit.cmd",
    ] {
        let config = load(&format!("[kafka.properties]\n\"{name}\" = \"hush\""), &[]);
        let shown = config.map_or_else(|error| error, |config| config.shown());
        assert!(!shown.contains("hush"), "{name}: {shown}");
        assert_eq!(masked_property(name, "hush"), "***", "{name}");
    }
    for name in ["sasl.username", "ssl.key.location", "ssl.ca.location", "fetch.min.bytes"] {
        assert_eq!(masked_property(name, "seen"), "seen", "{name}");
    }
}

#[test]
fn variables_that_are_no_texts_are_errors_only_when_they_are_ours() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = |text: &str, end: &[u8]| OsString::from_vec([text.as_bytes(), end].concat());
    let variables = |ours: &str, end: &[u8]| {
        [
            (bytes(ours, end), bytes("caf", b"\xe9")),
            (bytes("LC_NAME", b"\xff"), bytes("x", b"\xff")),
        ]
    };
    assert!(Config::from_environment(None, variables("OTHER", b"")).is_ok());
    let check = |ours: &str, end: &[u8], key: &str| {
        let errors = Config::from_environment(None, variables(ours, end)).unwrap_err();
        let found: Vec<_> = errors.errors.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(key) && found[0].contains("is not UTF-8"), "{found:?}");
    };
    check("TOLLGATE__KAFKA__GROUP", b"", "kafka.group (from TOLLGATE__KAFKA__GROUP)");
    check(
        "TOLLGATE__KAFKA__PROPERTIES__SASL_PASSWORD",
        b"",
        "kafka.properties.sasl.password (from TOLLGATE__KAFKA__PROPERTIES__SASL_PASSWORD)",
    );
    check("TOLLGATE__KAFKA__GROUP", b"\xff", "kafka.group\u{fffd}");
}

#[test]
fn the_schema_in_the_repository_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/schema.json");
    let current = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    if std::env::var_os("TOLLGATE_UPDATE").is_some() {
        std::fs::write(path, &current).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == current, "run this test with TOLLGATE_UPDATE=1 to renew config/schema.json");
}
