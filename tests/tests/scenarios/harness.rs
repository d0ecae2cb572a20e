//! The judge is judged: it accepts a right ledger and finds every single wrong row.

use std::collections::BTreeMap;

use tollgate_tests::generator::campaigns::{campaigns, limit};
use tollgate_tests::generator::{Generator, Mix};
use tollgate_tests::harness::ledger::Ledger;
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::topic::{Log, Sender};
use tollgate_tests::harness::verify::verify;
use tollgate_tests::model::{Fate, Model, Outcome};
use tollgate_tests::servers::Servers;
use tollgate_tests::servers::folder::Folder;
use tollgate_tests::servers::kafka::{create_topic, delete_topic};

const TOPIC: &str = "suite-harness";
const TABLES: &str = concat!(
    include_str!("../../../host/ledger/migrations/sqlite/0001_ledger.sql"),
    include_str!("../../../host/ledger/migrations/sqlite/0002_messages.sql"),
    include_str!("../../../host/ledger/migrations/sqlite/0003_refunds.sql"),
    include_str!("../../../host/ledger/migrations/sqlite/0004_days.sql"),
    include_str!("../../../host/ledger/migrations/sqlite/0005_decisions.sql"),
    include_str!("../../../host/ledger/migrations/sqlite/0006_replays.sql"),
    include_str!("../../../host/ledger/migrations/sqlite/0007_watch.sql"),
);
const OPENING_MICROS: i64 = 1_000_000_000_000;

/// Writes down what the model expects, as the host would.
fn fill(ledger: &mut Ledger, outcome: &Outcome, ends: &[(i32, (i64, i64))]) {
    let mut sql = String::new();
    let mut counters: BTreeMap<i32, [i64; 3]> = BTreeMap::new();
    for ((partition, offset), fate) in &outcome.fates {
        let counters = counters.entry(*partition).or_default();
        match fate {
            Fate::Charged(charge) => {
                counters[0] += 1;
                sql += &format!(
                    "INSERT INTO ad_balance_histories (kafka_offset, amount_micros, balance_after_micros, \
                     generation, occurred_at, budget_day, kafka_partition, incarnation, type, advertiser_id, \
                     campaign_id, ad_id, device_id, kafka_topic, price_source, reason) VALUES ({offset}, -{}, 0, \
                     1, {}, '{}', {partition}, 0, 'DEDUCT', '{}', '{}', nullif('{}', ''), '{}', '{TOPIC}', '{}', \
                     'R');",
                    charge.amount_micros,
                    charge.occurred_at_us,
                    charge.day,
                    charge.advertiser,
                    charge.campaign,
                    charge.ad,
                    charge.device,
                    charge.price_source
                );
            }
            Fate::Skipped => counters[1] += 1,
            Fate::Dead(code) => {
                counters[2] += 1;
                sql += &format!(
                    "INSERT INTO dead_letters (topic, incarnation, kafka_partition, kafka_offset, code, stage, \
                     sentence, record_at_ms, generation) VALUES ('{TOPIC}', 0, {partition}, {offset}, '{code}', \
                     's', 's', 0, 1);"
                );
            }
        }
    }
    for (partition, (low, high)) in ends {
        let [charged, skipped, dead] = counters.get(partition).copied().unwrap_or_default();
        sql += &format!(
            "INSERT INTO consumer_progress (consumer_group, topic, kafka_partition, topic_id, first_offset, \
             next_offset, generation, charged, skipped, dead) VALUES ('g', '{TOPIC}', {partition}, '', {low}, \
             {high}, 1, {charged}, {skipped}, {dead});"
        );
    }
    for ((campaign, day), spent) in &outcome.spent {
        sql += &format!(
            "INSERT INTO campaign_daily_spend (campaign_id, day, spent_micros) VALUES ('{campaign}', '{day}', {spent});"
        );
    }
    for (advertiser, charged) in &outcome.charged {
        sql += &format!(
            "UPDATE advertiser_balances SET balance_micros = opening_micros - {charged} \
             WHERE advertiser_id = '{advertiser}';"
        );
    }
    for (days, kind, told) in [
        (&outcome.warned, "WARN", "BUDGET_WARNING"),
        (&outcome.exhausted, "PAUSE", "CAMPAIGN_PAUSED"),
    ] {
        for (campaign, day) in days {
            sql += &format!(
                "INSERT INTO budget_crossings (campaign_id, day, kind, level_ppm, budget_micros, round, \
                 advertiser_id, usage_ppm, spent_micros, reason) VALUES ('{campaign}', '{day}', '{kind}', 1, 1, \
                 0, 'a', 1, 1, 'R');
                 INSERT INTO outbox (dedup_key, kind, payload) VALUES ('{kind}{campaign}{day}', '{told}', '{{}}');"
            );
        }
    }
    for (campaign, _) in &outcome.exhausted {
        sql += &format!(
            "UPDATE campaigns SET status = 'PAUSED', paused_reason = 'BUDGET_EXHAUSTED' \
             WHERE campaign_id = '{campaign}';"
        );
    }
    ledger.execute(&sql).unwrap();
}

/// One wrong row must be found; the ledger is right again afterwards.
fn check(log: &Log, ledger: &mut Ledger, model: &Model, wrong: &str) {
    ledger.execute(&format!("BEGIN; {wrong}")).unwrap();
    assert!(verify(log, ledger, model).is_err(), "{wrong}");
    ledger.execute("ROLLBACK").unwrap();
    assert!(verify(log, ledger, model).is_ok(), "after {wrong}");
}

#[test]
fn every_wrong_row_is_found() {
    let brokers = &Servers::shared().unwrap().brokers;
    drop(delete_topic(brokers, TOPIC));
    create_topic(brokers, TOPIC, 3, 1).unwrap();
    let mut known = campaigns(7, 20, 6);
    limit(&mut known[0], 20);
    let mut generator =
        Generator::new(Mix { poison_ppm: 100_000, clicks_ppm: 200_000, ..Mix::default() }, &known);
    let sender = Sender::bulk(brokers, TOPIC).unwrap();
    for _ in 0..2_000 {
        let at_us = now_us();
        sender.send(&generator.next(at_us), at_us).unwrap();
    }
    sender.flush().unwrap();

    let folder = Folder::new("harness").unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.file("ledger.db").display());
    let mut ledger = Ledger::open(&url).unwrap();
    ledger.execute(TABLES).unwrap();
    ledger.load(&known, OPENING_MICROS).unwrap();
    let model = Model::new(&known);
    let log = Log::read(brokers, TOPIC).unwrap();
    assert_eq!(log.records.len(), 2_000);
    fill(&mut ledger, &model.judge(&log.records), &log.ends);
    let outcome = verify(&log, &mut ledger, &model).unwrap();
    assert_eq!((outcome.warned.len(), outcome.exhausted.len()), (1, 1));

    for table in ["ad_balance_histories", "dead_letters", "consumer_progress", "outbox"] {
        let one = format!("DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})");
        let one = match table {
            "consumer_progress" => "DELETE FROM consumer_progress WHERE kafka_partition = 1",
            _ => &one,
        };
        check(&log, &mut ledger, &model, one);
    }
    let first = "WHERE rowid = (SELECT min(rowid) FROM ad_balance_histories)";
    for change in [
        "amount_micros = amount_micros - 1",
        "advertiser_id = 'x'",
        "campaign_id = 'x'",
        "ad_id = 'x'",
        "device_id = 'x'",
        "budget_day = '2020-01-01'",
        "price_source = 'REDIS'",
        "occurred_at = occurred_at + 1",
        "kafka_offset = 1000000",
        "kafka_topic = 'x'",
    ] {
        check(
            &log,
            &mut ledger,
            &model,
            &format!("UPDATE ad_balance_histories SET {change} {first}"),
        );
    }
    for change in [
        "UPDATE dead_letters SET code = 'NOT_JSON'",
        "UPDATE consumer_progress SET skipped = skipped + 1, absent = absent - 1",
        "UPDATE consumer_progress SET next_offset = next_offset - 1",
        "UPDATE campaign_daily_spend SET spent_micros = spent_micros + 1",
        "UPDATE advertiser_balances SET balance_micros = balance_micros + 1",
        "UPDATE campaigns SET status = 'ACTIVE'",
        "UPDATE campaigns SET paused_reason = NULL",
        "DELETE FROM budget_crossings WHERE kind = 'WARN'",
        "DELETE FROM budget_crossings WHERE kind = 'PAUSE'",
        "INSERT INTO outbox (dedup_key, kind, payload) VALUES ('again', 'BUDGET_WARNING', '{}')",
    ] {
        check(&log, &mut ledger, &model, change);
    }
}
