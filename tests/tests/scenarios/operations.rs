//! Configuration, shutdown and the topic's own mishaps.

use std::time::Duration;

use tollgate_tests::generator::Mix;
use tollgate_tests::generator::campaigns::{campaigns, limit};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::scenario::{Database, Scenario, limited_campaigns};
use tollgate_tests::model::Model;
use tollgate_tests::servers::kafka::{create_topic, delete_topic};
use tollgate_tests::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(60);

fn clicks() -> Mix {
    Mix { impressions_ppm: 0, clicks_ppm: 1_000_000, poison_ppm: 0, ..Mix::default() }
}

/// Warnings after `clicks` clicks on a budget of ten, with the level as configured.
fn check_warning(name: &str, warn_at: &str, clicks_made: usize, expected: &[i64]) {
    let mut known = limited_campaigns(1, 1);
    limit(&mut known[0], 10);
    let mut scenario = Scenario::new(name, Database::Sqlite, known).unwrap();
    scenario.setup = scenario.setup.clone().key("rules.threshold.warn_at", warn_at);
    scenario.produce(clicks(), clicks_made).unwrap();
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success());
    let crossings = scenario.ledger.crossings().unwrap();
    let levels: Vec<i64> = crossings.iter().map(|row| row.level_ppm).collect();
    assert_eq!(levels, expected, "{warn_at} after {clicks_made}");
}

#[test]
fn the_warning_level_is_a_matter_of_configuration() {
    check_warning("warn-90-at-8", r#"["0.90"]"#, 8, &[]);
    check_warning("warn-90-at-9", r#"["0.90"]"#, 9, &[900_000]);
    check_warning("warn-80-at-7", r#"["0.80"]"#, 7, &[]);
    check_warning("warn-80-at-8", r#"["0.80"]"#, 8, &[800_000]);
    check_warning("warn-2-levels", r#"["0.50", "0.80"]"#, 8, &[500_000, 800_000]);
}

#[test]
fn sigterm_finishes_what_was_begun() {
    let mut scenario =
        Scenario::new("sigterm", Database::Postgres, limited_campaigns(100, 30)).unwrap();
    scenario.produce(Mix { seed: 12, ..Mix::default() }, 100_000).unwrap();
    let setup = scenario.setup.clone().key("batch.clicks_max", "50");
    let mut host = Host::start(&setup).unwrap();
    wait_until("progress", LIMIT, || scenario.done().ok().filter(|done| *done > 0)).unwrap();
    let status = host.terminate(LIMIT).unwrap();
    assert!(status.success(), "{status}:\n{}", host.log());
    let model = Model::new(&scenario.campaigns);
    scenario.charge_and_verify(&model).unwrap();
}

/// Reasons of all partitions, once every one of them is halted.
fn halts(host: &Host) -> Vec<String> {
    let all_halted = host.wait_status("every partition to halt", LIMIT, |status| {
        status.partitions.len() == 8 && status.partitions.iter().all(|part| part.halted.is_some())
    });
    all_halted.unwrap().partitions.into_iter().filter_map(|part| part.halted).collect()
}

#[test]
fn a_topic_made_anew_halts_until_a_person_says_how_to_go_on() {
    let mut scenario = Scenario::new("anew", Database::Postgres, campaigns(2, 10, 5)).unwrap();
    scenario.produce(clicks(), 1_000).unwrap();
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    delete_topic(&scenario.brokers, &scenario.topic).unwrap();
    create_topic(&scenario.brokers, &scenario.topic, 8, 7).unwrap();
    // A longer log than before, so that the old offsets exist in it.
    scenario.produce(clicks(), 3_000).unwrap();
    let while_running = halts(&host);
    assert!(host.terminate(LIMIT).unwrap().success());
    let mut host = Host::launch(&scenario.setup).unwrap();
    let reasons = halts(&host);
    assert_eq!(while_running.len(), reasons.len());
    assert_eq!(scenario.done().unwrap(), 1_000);
    for reason in &reasons {
        // The command is pasted as it is printed; only its last word is quoted.
        let (_, command) = reason.split_once("tollgate ").expect(reason);
        let (plain, note) = command.split_once(" \"").expect(reason);
        let note = note.trim_end().trim_end_matches('"');
        let words: Vec<&str> = plain.split_whitespace().chain([note]).collect();
        scenario.setup.run(&words).unwrap();
    }
    scenario.wait_charged(&host).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success());
    assert_eq!(scenario.ledger.history(&scenario.topic).unwrap().len(), 4_000);
    scenario.setup.run(&["audit"]).unwrap();
}

/// A database that takes too long for a large batch is given smaller ones.
#[test]
fn a_batch_that_never_fits_its_time_is_written_in_halves() {
    let mut scenario = Scenario::new("slow", Database::Postgres, campaigns(2, 10, 5)).unwrap();
    scenario
        .ledger
        .execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF (SELECT count(*) FROM added) > 300 THEN PERFORM pg_sleep(10); END IF; RETURN NULL; END $$;
             CREATE TRIGGER slow AFTER INSERT ON ad_balance_histories REFERENCING NEW TABLE AS added
               FOR EACH STATEMENT EXECUTE FUNCTION slow()",
        )
        .unwrap();
    scenario.produce(clicks(), 2_000).unwrap();
    let setup = scenario.setup.clone().key("ledger.statement_timeout_ms", "800");
    let mut host = Host::start(&setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    assert!(host.log().contains("writing it in halves"), "{}", host.log());
    assert!(host.terminate(LIMIT).unwrap().success());
    let model = Model::new(&scenario.campaigns);
    scenario.verify(&model).unwrap();
    assert!(scenario.ledger.dead_letters(&scenario.topic).unwrap().is_empty());
}
