//! Ranges and shapes that types cannot express. Each error says what is allowed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tollgate_domain::day::Zone;
use tollgate_domain::money;

use super::{Config, ConfigErrors};
use crate::rules::signatures::is_public_key;

pub(super) fn validate(config: &Config, errors: &mut ConfigErrors) {
    ranges(config, errors);
    texts(config, errors);
    addresses(config, errors);
    fence(config, errors);
    topics(config, errors);
    notify(config, errors);
    for property in tollgate_stream::check_properties(&config.kafka.properties) {
        errors.add(&format!("kafka.properties.{}", property.name), property.reason);
    }
}

fn ranges(config: &Config, errors: &mut ConfigErrors) {
    let Config { kafka, decode, ledger, batch, redis, rules, shutdown, .. } = config;
    let Config { budget, compensation, dead_letters, decisions, notify, slack, .. } = config;
    let Config { audit, duplicates, .. } = config;
    let mut range = |key: &str, value: u64, lowest: u64, highest: u64| {
        if !(lowest..=highest).contains(&value) {
            errors.add(key, format!("is {value}, allowed is {lowest} to {highest}"));
        }
    };
    range("kafka.lanes", kafka.lanes.into(), 1, 64);
    range("kafka.poll_records_max", kafka.poll_records_max.into(), 1, 100_000);
    let behind_min = kafka.poll_records_max.into();
    let behind = kafka.poll_records_behind_max.into();
    range("kafka.poll_records_behind_max", behind, behind_min, 100_000);
    range("kafka.session_timeout_ms", kafka.session_timeout_ms.into(), 6_000, 300_000);
    range("decode.payload_bytes_max", decode.payload_bytes_max.into(), 1_024, 64 << 20);
    range("decode.text_bytes_max", decode.text_bytes_max.into(), 16, 2_000);
    range("decode.age_hours_max", decode.age_hours_max.into(), 1, 24 * 366);
    range("decode.ahead_minutes_max", decode.ahead_minutes_max.into(), 0, 24 * 60);
    range("ledger.statement_timeout_ms", ledger.statement_timeout_ms.into(), 100, 600_000);
    range("ledger.lock_timeout_ms", ledger.lock_timeout_ms.into(), 50, 600_000);
    range("ledger.copy_rows_min", ledger.copy_rows_min.into(), 1, 1_000_000);
    range("history.days_ahead", config.history.days_ahead.into(), 1, 60);
    if config.history.retention_days > 0 {
        let days = config.history.retention_days.into();
        range("history.retention_days", days, config.retention_days_min().into(), 36_500);
    }
    range("batch.clicks_max", batch.clicks_max.into(), 1, 100_000);
    range("batch.slices_waiting_max", batch.slices_waiting_max.into(), 1, 1_000);
    range("redis.deadline_ms", redis.deadline_ms.into(), 1, 1_000);
    range("redis.cache_ms", redis.cache_ms.into(), 0, 600_000);
    range("redis.breaker_failures", redis.breaker_failures.into(), 1, 1_000);
    range("redis.breaker_pause_ms", redis.breaker_pause_ms.into(), 10, 600_000);
    range("rules.module_bytes_max", rules.module_bytes_max.into(), 1_024, 64 << 20);
    range("rules.memory_bytes_max", rules.memory_bytes_max.into(), 65_536, 64 << 20);
    range("rules.fuel_base_max", rules.fuel_base_max, 1_000, 10_000_000_000);
    range("rules.fuel_per_row_max", rules.fuel_per_row_max, 10, 100_000_000);
    range("rules.look_ms", rules.look_ms.into(), 50, 10_000);
    range("rules.faults_max", rules.faults_max.into(), 0, 1_000_000);
    range("rules.faults_window_s", rules.faults_window_s.into(), 1, 86_400);
    range("rules.rows_max", rules.rows_max.into(), 1, 65_536);
    range("rules.backstop_ms", rules.backstop_ms.into(), 100, 60_000);
    range("shutdown.drain_ms", shutdown.drain_ms.into(), 100, 600_000);
    range("budget.look_ms", budget.look_ms.into(), 50, 3_600_000);
    range("compensation.lanes", compensation.lanes.into(), 1, 64);
    range("compensation.settle_s", compensation.settle_s.into(), 0, 86_400);
    let settle = compensation.settle_s.into();
    range("compensation.expire_s", compensation.expire_s.into(), settle, 30 * 86_400);
    range("compensation.look_ms", compensation.look_ms.into(), 50, 3_600_000);
    range("audit.every_ms", audit.every_ms.into(), 100, 3_600_000);
    range("audit.full_every_h", audit.full_every_h.into(), 0, 24 * 366);
    range("duplicates.top", duplicates.top.into(), 0, 1_000);
    range("duplicates.alert_ppm", duplicates.alert_ppm.into(), 0, 1_000_000);
    range("duplicates.clicks_min", duplicates.clicks_min.into(), 1, 1_000_000_000);
    range("decisions.retention_days", decisions.retention_days.into(), 0, 3_650);
    range("notify.poll_ms", notify.poll_ms.into(), 10, 60_000);
    range("notify.lease_ms", notify.lease_ms.into(), 1_000, 600_000);
    range("notify.attempts_max", notify.attempts_max.into(), 1, 1_000);
    range("notify.retry_ms_min", notify.retry_ms_min.into(), 10, 600_000);
    let retry_min = notify.retry_ms_min.into();
    range("notify.retry_ms_max", notify.retry_ms_max.into(), retry_min, 86_400_000);
    range("notify.deadline_ms", notify.deadline_ms.into(), 100, 120_000);
    range("notify.dead_letters_every_s", notify.dead_letters_every_s.into(), 1, 86_400);
    range("dead_letters.halt_window", dead_letters.halt_window.into(), 100, 1_000_000);
    range("dead_letters.halt_percent", dead_letters.halt_percent.into(), 1, 100);
    range("slack.gap_ms", slack.gap_ms.into(), 0, 60_000);
    range("slack.digest_max", slack.digest_max.into(), 1, 24);
}

fn topics(config: &Config, errors: &mut ConfigErrors) {
    for (name, topic) in config.topics.designed() {
        let mut range = |key: &str, value: i32, lowest: i32, highest: i32| {
            if !(lowest..=highest).contains(&value) {
                let sentence = format!("is {value}, allowed is {lowest} to {highest}");
                errors.add(&format!("topics.{name}.{key}"), sentence);
            }
        };
        range("partitions", topic.partitions, 1, 10_000);
        range("retention_days", topic.retention_days, -1, 36_500);
    }
    let copies = config.topics.replication;
    if copies != -1 && !(1..=100).contains(&copies) {
        errors.add("topics.replication", format!("is {copies}, allowed is -1, or 1 to 100"));
    }
}

/// Routes and addresses. An address itself is checked where the channel is made.
fn notify(config: &Config, errors: &mut ConfigErrors) {
    if Zone::new(&config.notify.zone).is_err() {
        errors.add("notify.zone", "must be an IANA time zone such as Asia/Seoul");
    }
    let mut hooks = BTreeMap::new();
    for (name, route) in &config.slack.routes {
        let key = format!("slack.routes.{name}");
        if !route.url.starts_with("https://") && !route.url.starts_with("http://") {
            errors.add(&format!("{key}.url"), "must begin with https:// (or http:// for tests)");
        } else if let Some(other) = hooks.insert(&route.url, name) {
            // The pace of a channel is kept by its route.
            errors.add(
                &format!("{key}.url"),
                format!("is also the URL of route {other}; use one route"),
            );
        }
    }
    let email = &config.email;
    if !email.url.is_empty()
        && !email.url.starts_with("smtp://")
        && !email.url.starts_with("smtps://")
    {
        errors.add("email.url", "must begin with smtp:// or smtps://, or be empty");
    }
    if !email.url.is_empty() && !email.from.contains('@') {
        errors.add("email.from", "must be an address such as \"tollgate <billing@example.com>\"");
    }
    for (name, route) in &email.routes {
        if route.to.is_empty() || route.to.iter().any(|to| !to.contains('@')) {
            errors.add(&format!("email.routes.{name}.to"), "must be a list of addresses");
        }
    }
}

fn texts(config: &Config, errors: &mut ConfigErrors) {
    for (key, text) in [
        ("kafka.brokers", &config.kafka.brokers),
        ("kafka.topic", &config.kafka.topic),
        ("kafka.group", &config.kafka.group),
        ("topics.conversion_topic", &config.topics.conversion_topic),
        ("compensation.topic", &config.compensation.topic),
        ("compensation.group", &config.compensation.group),
        ("dead_letters.topic_suffix", &config.dead_letters.topic_suffix),
        ("rules.dir", &config.rules.dir),
    ] {
        if text.trim().is_empty() {
            errors.add(key, "must not be empty");
        }
    }
    if config.kafka.topic == config.compensation.topic {
        errors.add("compensation.topic", "must be another topic than kafka.topic");
    }
    for (key, text) in
        [("redis.cpc_key", &config.redis.cpc_key), ("redis.budget_key", &config.redis.budget_key)]
    {
        if !text.contains("{campaign_id}") {
            errors.add(key, "must contain {campaign_id}");
        }
    }
    for (name, key) in &config.rules.trusted_keys {
        if !is_public_key(key) {
            let sentence = "must be a public key as `tollgate rule keygen` prints it";
            errors.add(&format!("rules.trusted_keys.{name}"), sentence);
        }
    }
    if config.log.level.parse::<tracing_subscriber::EnvFilter>().is_err() {
        errors.add("log.level", "must be a filter such as info or info,tollgate_stream=debug");
    }
}

fn addresses(config: &Config, errors: &mut ConfigErrors) {
    if !["postgres://", "postgresql://", "sqlite:"].iter().any(|s| config.ledger.url.starts_with(s))
    {
        errors.add("ledger.url", "must begin with postgres:// or sqlite://");
    }
    let redis = &config.redis.url;
    if !redis.is_empty() && !["redis://", "rediss://"].iter().any(|s| redis.starts_with(s)) {
        errors.add("redis.url", "must begin with redis:// or rediss://, or be empty");
    }
    if config.admin.listen.parse::<SocketAddr>().is_err() {
        errors.add("admin.listen", "must be an address and a port, such as 127.0.0.1:9464");
    }
}

fn fence(config: &Config, errors: &mut ConfigErrors) {
    match money::parse_scaled(&config.fence.charge_max) {
        Ok(micros) if micros > 0 => {}
        _ => errors.add("fence.charge_max", "must be a positive decimal such as \"1000000\""),
    }
    match money::parse_scaled(&config.fence.pause_floor) {
        Ok(0..=money::PPM) => {}
        _ => errors.add("fence.pause_floor", "must be a decimal from \"0\" to \"1\""),
    }
}
