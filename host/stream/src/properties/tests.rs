use super::*;

fn check(name: &str, value: &str, expected: Option<&str>) {
    let properties = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let errors = check_properties(&properties);
    match expected {
        None => assert_eq!(errors, [], "{name}={value}"),
        Some(part) => {
            assert_eq!(errors.len(), 1, "{name}={value}");
            let text = errors[0].to_string();
            assert!(text.contains(name) && text.contains(part), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}

#[test]
fn properties_of_safety_are_refused_and_others_pass() {
    check("enable.auto.commit", "true", Some("ledger"));
    check("enable.auto.offset.store", "true", Some("ledger"));
    check("auto.offset.reset", "latest", Some("halt"));
    check("group.id", "other", Some("setting"));
    check("bootstrap.servers", "other:9092", Some("setting"));
    check("metadata.broker.list", "other:9092", Some("setting"));
    check("group.protocol", "consumer", Some("lost its group"));
    check("group.instance.id", "a", Some("throw"));
    check("isolation.level", "read_uncommitted", Some("aborted"));
    check("partition.assignment.strategy", "range", Some("rebalance"));
    check("enable.partition.eof", "true", Some("end of a partition"));
    check("plugin.library.paths", "evil.so", Some("foreign code"));
    check("max.poll.interval.ms", "20000", None);
    check("security.protocol", "sasl_ssl", None);
    check("sasl.username", "tollgate", None);
    check("sasl.password", "hunter2", None);
    check("fetch.wait.max.ms", "10", None);
    check("fetch.wait.max.ms", "hunter2", Some("does not accept its value"));
    check("security.protocol", "hunter2", Some("does not accept its value"));
    check("max.pol.interval.ms", "hunter2", Some("does not know it"));
    check("sasl.password", "a\0b", Some("NUL"));
}

#[test]
fn every_error_is_reported_at_once() {
    let names = ["group.id", "isolation.level", "no.such.property", "client.id"];
    let properties = names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
    assert_eq!(check_properties(&properties).len(), names.len());
}

#[test]
fn a_member_is_accepted_by_librdkafka_and_safe() {
    let mut config = StreamConfig::default();
    config.properties.insert("fetch.wait.max.ms".into(), "7".into());
    config.properties.insert("isolation.level".into(), "read_uncommitted".into());
    let client = member(&config, 2);
    assert!(client.create_native_config().is_ok());
    assert_eq!(client.get("fetch.wait.max.ms"), Some("7"));
    assert_eq!(client.get("isolation.level"), Some("read_committed"));
    assert_eq!(client.get("auto.offset.reset"), Some("error"));
    assert_eq!(client.get("client.id"), Some("tollgate-2"));
    assert_eq!(client.get("session.timeout.ms"), Some("30000"));
}
