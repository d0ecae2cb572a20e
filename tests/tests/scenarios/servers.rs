//! The servers of the suite come up, answer, and are gone afterwards.

use tollgate_tests::servers::Servers;
use tollgate_tests::servers::postgres::create_database;
use tollgate_tests::servers::redis::Redis;

#[test]
fn postgres_makes_empty_databases() {
    let servers = Servers::shared().unwrap();
    let first = create_database(&servers.postgres_url, "suite_servers").unwrap();
    let again = create_database(&servers.postgres_url, "suite_servers").unwrap();
    assert_eq!(first, again);
}

#[test]
fn redis_answers_freezes_dies_and_returns_empty() {
    let mut redis = Redis::start().unwrap();
    redis.set_all(&[("cpc:campaign_1".to_owned(), "1200".to_owned())]).unwrap();
    assert_eq!(redis.command(&["GET", "cpc:campaign_1"]).unwrap().as_deref(), Some("1200"));
    assert_eq!(redis.command(&["GET", "cpc:campaign_2"]).unwrap(), None);
    redis.freeze().unwrap();
    redis.thaw().unwrap();
    redis.kill();
    assert!(redis.command(&["PING"]).is_err());
    redis.restart().unwrap();
    assert_eq!(redis.command(&["GET", "cpc:campaign_1"]).unwrap(), None);
}
