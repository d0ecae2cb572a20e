//! What could not be charged or paid is charged or paid once its cause is gone, once, whatever is killed; and a flood
//! of dead letters halts its partition.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tollgate_tests::generator::campaigns::{Campaign, campaigns};
use tollgate_tests::generator::compensations::{Compensation, Malformed};
use tollgate_tests::generator::poison::Poison;
use tollgate_tests::generator::{Generator, Mix};
use tollgate_tests::harness::host::{Host, Running, Setup};
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::scenario::{Database, Scenario, noon_zone};
use tollgate_tests::harness::topic::watermarks;
use tollgate_tests::model::Model;
use tollgate_tests::model::refunds::State;
use tollgate_tests::wait::wait_until;

use super::dead_letters::{check_published, create_dead_letter_topic, wait_published};

const LIMIT: Duration = Duration::from_secs(120);
const REPLAYED: &str = "SELECT count(*) FROM dead_letters WHERE replayed_at IS NOT NULL";
const OPEN: &str =
    "SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL AND dropped_at IS NULL";
/// Exit code of a command that has left something undone.
const FINDINGS: i32 = 2;

fn clicks(seed: u64) -> Mix {
    Mix { seed, impressions_ppm: 0, clicks_ppm: 1_000_000, poison_ppm: 0, ..Mix::default() }
}

/// Produces clicks of these campaigns.
fn produce(scenario: &Scenario, seed: u64, of: &[Campaign], count: usize) {
    let (mut generator, sender) = (Generator::new(clicks(seed), of), scenario.sender().unwrap());
    for _ in 0..count {
        let at_us = now_us();
        sender.send(&generator.next(at_us), at_us).unwrap();
    }
    sender.flush().unwrap();
}

/// Starts replays and kills each at a moment that nobody has chosen.
fn kill_replays(scenario: &mut Scenario, arguments: &[&str], kills: usize, random: &mut SmallRng) {
    for _ in 0..kills {
        let wanted = scenario.ledger.number(REPLAYED).unwrap() + random.random_range(1..250);
        let mut replay = scenario.setup.launch(arguments).unwrap();
        // There may be less left to do than that.
        let moved = wait_until("the replay to move", LIMIT, || {
            let replayed = scenario.ledger.number(REPLAYED).ok()?;
            (replayed >= wanted || replay.has_ended()).then_some(())
        });
        moved.unwrap();
        replay.kill();
    }
}

/// Two replays at once; both come to their end.
fn replay_twice(setup: &Setup, arguments: &[&str], expected: i32) -> [String; 2] {
    let both: [Running; 2] = [(); 2].map(|()| setup.launch(arguments).unwrap());
    both.map(|mut replay| {
        let (code, output) = replay.finish(LIMIT).unwrap();
        assert_eq!(code, expected, "{output}");
        output
    })
}

#[test]
fn dead_letters_are_charged_once_when_their_campaigns_are_there() {
    const LATE: usize = 1_000;
    let all = campaigns(71, 45, 10);
    let (known, late) = all.split_at(40);
    let mut scenario = Scenario::new("replays", Database::Postgres, known.to_vec()).unwrap();
    let topic = scenario.topic.clone();
    let dead = create_dead_letter_topic(&scenario.brokers, &topic);
    scenario.setup = scenario.setup.clone().dead_letter_topics();
    produce(&scenario, 72, known, 20_000);
    produce(&scenario, 73, late, LATE);
    produce(&scenario, 74, known, 10_000);
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    wait_published(&mut scenario, &host);
    let ends = watermarks(&scenario.brokers, &dead).unwrap();
    assert_eq!(ends.iter().map(|(_, (low, high))| high - low).sum::<i64>(), LATE as i64);
    let group = scenario.setup.group.clone();
    check_published(&mut scenario, &topic, &group, &["resolve"]);

    let replay = ["dlq", "replay", "--code", "UNKNOWN_CAMPAIGN", "--note", "loaded"];
    let without = scenario.setup.launch(&replay).unwrap().finish(LIMIT).unwrap();
    assert_eq!(without.0, FINDINGS, "{}", without.1);
    assert_eq!(scenario.ledger.number(OPEN).unwrap(), LATE as i64);
    let twice = "SELECT count(*) FROM dead_letters WHERE attempts = 2";
    assert_eq!(scenario.ledger.number(twice).unwrap(), LATE as i64);

    scenario.ledger.load_campaigns(late).unwrap();
    let dry: Vec<&str> = replay.into_iter().chain(["--dry-run"]).collect();
    let dry = scenario.setup.run(&dry).unwrap();
    assert!(dry.contains("charged") && dry.contains(&LATE.to_string()), "{dry}");
    assert_eq!(scenario.ledger.number(OPEN).unwrap(), LATE as i64);
    // The host goes on meanwhile.
    produce(&scenario, 75, known, 19_000);
    let mut random = SmallRng::seed_from_u64(76);
    kill_replays(&mut scenario, &replay, 3, &mut random);
    replay_twice(&scenario.setup, &replay, 0);
    assert_eq!(scenario.ledger.number(OPEN).unwrap(), 0);
    assert_eq!(scenario.ledger.number(REPLAYED).unwrap(), LATE as i64);
    scenario.wait_charged(&host).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    assert_eq!(scenario.ledger.history(&topic).unwrap().len(), 50_000);
    scenario.verify(&Model::new(&all)).unwrap();
    let notes = "SELECT count(*) FROM operator_actions WHERE note = 'loaded'";
    assert!(scenario.ledger.number(notes).unwrap() > 1);
}

#[test]
fn what_is_still_wrong_stays_a_dead_letter() {
    let known = campaigns(77, 10, 5);
    let mut scenario = Scenario::new("replays-wrong", Database::Sqlite, known).unwrap();
    let mut generator = Generator::new(clicks(78), &scenario.campaigns);
    let sender = scenario.sender().unwrap();
    for class in Poison::SMALL {
        sender.send(&generator.poison(class, now_us()), now_us()).unwrap();
    }
    sender.flush().unwrap();
    let model = Model::new(&scenario.campaigns);
    scenario.charge_and_verify(&model).unwrap();
    let replay = |scenario: &mut Scenario, attempts: i64| {
        let arguments = ["dlq", "replay", "--all", "--note", "a try"];
        let (code, output) = scenario.setup.launch(&arguments).unwrap().finish(LIMIT).unwrap();
        assert_eq!(code, FINDINGS, "{output}");
        for class in Poison::SMALL {
            assert!(output.contains(class.code()), "{class:?}: {output}");
        }
        // Codes and counters are what they were.
        scenario.verify(&model).unwrap();
        let tries = "SELECT CAST(attempts AS TEXT) FROM dead_letters GROUP BY attempts ORDER BY 1";
        assert_eq!(scenario.ledger.texts(tries).unwrap(), [attempts.to_string()]);
    };
    replay(&mut scenario, 2);
    replay(&mut scenario, 3);
    let drop = ["dlq", "drop", "--code", "NUL_IN_TEXT", "--note", "nobody wants it"];
    assert!(scenario.setup.run(&drop).unwrap().contains("dropped"));
    let list = |scenario: &Scenario, state: &str| {
        let json = scenario.setup.run(&["dlq", "list", "--json", "--state", state]).unwrap();
        serde_json::from_str::<Vec<serde_json::Value>>(&json).unwrap()
    };
    assert_eq!(list(&scenario, "dropped").len(), 1);
    assert_eq!(list(&scenario, "open").len(), Poison::SMALL.len() - 1);
    assert_eq!(list(&scenario, "replayed").len(), 0);
    scenario.verify(&model).unwrap();
    let (code, _) = scenario
        .setup
        .launch(&["dlq", "replay", "--all", "--note", "again"])
        .unwrap()
        .finish(LIMIT)
        .unwrap();
    assert_eq!(code, FINDINGS);
    assert_eq!(list(&scenario, "dropped")[0]["attempts"], 3);
    assert!(list(&scenario, "open").iter().all(|letter| letter["attempts"] == 4));
}

/// Campaigns of one day each; the last is not there at first, and the one before belongs to somebody else.
fn refund_campaigns() -> Vec<Campaign> {
    let mut all = campaigns(81, 20, 5);
    for campaign in &mut all {
        campaign.time_zone = noon_zone();
    }
    all
}

#[test]
fn compensations_are_paid_once_when_their_cause_is_gone() {
    let all = refund_campaigns();
    let (late, strayed) = (&all[19], &all[18]);
    let scenario = Scenario::new("replays-refunds", Database::Postgres, all[..19].to_vec());
    let mut scenario = scenario.unwrap().with_compensations().unwrap();
    let strays = |advertiser: &str| {
        let id = &strayed.id;
        format!("UPDATE campaigns SET advertiser_id = '{advertiser}' WHERE campaign_id = '{id}'")
    };
    scenario.ledger.execute(&strays("advertiser_of_another")).unwrap();
    scenario.setup = scenario
        .setup
        .clone()
        .key("compensation.look_ms", "50")
        .key("compensation.settle_s", "0")
        .key("compensation.expire_s", "0");
    let mix = Mix { repeats_ppm: 300_000, zipf: false, ..clicks(82) };
    let mut generator = Generator::new(mix, &all);
    let (sender, begin_us) = (scenario.sender().unwrap(), now_us() - 60_000_000);
    for at in 0..6_000 {
        let at_us = begin_us + at * 1_000;
        sender.send(&generator.next(at_us), at_us).unwrap();
    }
    sender.flush().unwrap();
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    let sender = scenario.compensation_sender().unwrap();
    for repeat in &generator.take_repeats(i64::MAX) {
        let honest = Compensation::new(repeat, &all, now_us());
        sender.send(&honest.event(), now_us()).unwrap();
    }
    let repeats = [begin_us, begin_us + 1_000];
    let any = tollgate_tests::generator::Repeat {
        campaign: 0,
        device: "d".into(),
        ad: "a".into(),
        at_us: repeats.to_vec(),
    };
    for class in Malformed::all() {
        sender.send(&Compensation::new(&any, &all, now_us()).spoiled(class), now_us()).unwrap();
    }
    sender.flush().unwrap();
    scenario.wait_settled(&host, 0).unwrap();
    let refused = |scenario: &mut Scenario, state: &str| {
        let sql = format!("SELECT count(*) FROM compensations WHERE state = '{state}'");
        scenario.ledger.number(&sql).unwrap()
    };
    assert!(refused(&mut scenario, "EXPIRED") > 10 && refused(&mut scenario, "REJECTED") > 10);

    // Nothing has changed: each is refused again, and is the same dead letter.
    let topic = scenario.compensation_topic();
    let replay = ["dlq", "replay", "--topic", &topic, "--note", "fixed"];
    let open = scenario.ledger.number(OPEN).unwrap();
    let (code, output) = scenario.setup.launch(&replay).unwrap().finish(LIMIT).unwrap();
    assert_eq!(code, FINDINGS, "{output}");
    assert_eq!(scenario.ledger.number(OPEN).unwrap(), open);

    scenario.ledger.execute(&strays(&strayed.advertiser)).unwrap();
    scenario.ledger.load_campaigns(std::slice::from_ref(late)).unwrap();
    let clicks_topic = scenario.topic.clone();
    scenario.setup.run(&["dlq", "replay", "--topic", &clicks_topic, "--note", "fixed"]).unwrap();
    let mut random = SmallRng::seed_from_u64(83);
    kill_replays(&mut scenario, &replay, 2, &mut random);
    replay_twice(&scenario.setup, &replay, FINDINGS);
    scenario.wait_settled(&host, 0).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    let malformed = Malformed::all().len();
    assert_eq!(scenario.ledger.number(OPEN).unwrap(), malformed as i64);
    let (_, refunds) = scenario.verify_refunds(&Model::new(&all)).unwrap();
    assert!(refunds.settled.values().all(|row| row.state == State::Refunded));
    assert_eq!(refunds.malformed.len(), malformed);
}

/// The reason for which a partition is halted, once it is.
fn wait_halted(scenario: &mut Scenario, topic: &str, host: &Host) -> String {
    let sql = format!(
        "SELECT halted_reason FROM consumer_progress WHERE topic = '{topic}' AND halted_reason IS NOT NULL"
    );
    let halted = wait_until("a partition to halt", LIMIT, || {
        scenario.ledger.texts(&sql).ok().and_then(|mut reasons| reasons.pop())
    });
    halted.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()))
}

/// Runs the command that a reason ends with, as a person would paste it.
fn go_on(scenario: &Scenario, reason: &str) {
    let (_, command) = reason.split_once("tollgate partition").expect(reason);
    let (plain, _) = command.split_once(" \"").expect(reason);
    let words = ["partition"].into_iter().chain(plain.split_whitespace()).chain(["looked at"]);
    scenario.setup.run(&words.collect::<Vec<_>>()).unwrap();
}

fn halted_metric(topic: &str, partition: i32) -> String {
    format!("tollgate_kafka_partition_halted{{topic=\"{topic}\",partition=\"{partition}\"}}")
}

#[test]
fn a_flood_of_dead_letters_halts_its_partition() {
    const FLOODED: i32 = 3;
    let all = campaigns(84, 11, 5);
    let (known, late) = all.split_at(10);
    let mut scenario = Scenario::new("replays-valve", Database::Postgres, known.to_vec()).unwrap();
    let topic = scenario.topic.clone();
    scenario.setup = scenario
        .setup
        .clone()
        .key("dead_letters.halt_window", "1000")
        .key("dead_letters.halt_percent", "40");
    let (mut flood, sender) = (Generator::new(clicks(85), late), scenario.sender().unwrap());
    for _ in 0..1_500 {
        let at_us = now_us();
        let click = flood.next(at_us);
        sender.send_to(FLOODED, click.payload.as_deref(), at_us).unwrap();
    }
    sender.flush().unwrap();
    produce(&scenario, 86, known, 8_000);
    let mut host = Host::start(&scenario.setup).unwrap();
    let reason = wait_halted(&mut scenario, &topic, &host);
    let said = "DEAD_LETTERS: 401 of the last 1000 records are dead letters, 401 of them UNKNOWN_CAMPAIGN.";
    assert!(reason.starts_with(said), "{reason}");
    let next_offset = |scenario: &mut Scenario, partition: i32| {
        let rows = scenario.ledger.progress(&topic).unwrap();
        rows.iter().find(|row| row.kafka_partition == i64::from(partition)).unwrap().next_offset
    };
    assert_eq!(next_offset(&mut scenario, FLOODED), 400);
    let ends = watermarks(&scenario.brokers, &topic).unwrap();
    for (partition, (_, end)) in ends.into_iter().filter(|(partition, _)| *partition != FLOODED) {
        let reached = wait_until("the other partitions to go on", LIMIT, || {
            (next_offset(&mut scenario, partition) == end).then_some(())
        });
        reached.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()));
    }
    let halted = host.wait_status("the host to show the halt", LIMIT, |status| {
        status.partitions.iter().filter(|one| one.halted.is_some()).count() == 1
    });
    halted.unwrap();
    host.get("/metrics").unwrap();
    assert_eq!(host.metric(&halted_metric(&topic, FLOODED)), Some(1.0));
    let told = "SELECT count(*) FROM outbox WHERE kind = 'PARTITION_HALTED'";
    assert_eq!(scenario.ledger.number(told).unwrap(), 1);

    // Whoever lets it go on without a cure gets as far as the next window.
    go_on(&scenario, &reason);
    let again = wait_until("the partition to halt again", LIMIT, || {
        (scenario.ledger.number(told).ok()? == 2).then_some(())
    });
    again.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()));
    assert_eq!(next_offset(&mut scenario, FLOODED), 800);

    scenario.ledger.load_campaigns(late).unwrap();
    let reason = wait_halted(&mut scenario, &topic, &host);
    go_on(&scenario, &reason);
    scenario.wait_charged(&host).unwrap();
    scenario.setup.run(&["dlq", "replay", "--all", "--note", "the campaign is there"]).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    assert_eq!(scenario.ledger.history(&topic).unwrap().len(), 9_500);
    scenario.verify(&Model::new(&all)).unwrap();
}

#[test]
fn a_flood_of_compensations_halts_its_partition_too() {
    let mut known = campaigns(87, 4, 2);
    for campaign in &mut known {
        campaign.time_zone = noon_zone();
    }
    let scenario = Scenario::new("replays-valve-refunds", Database::Sqlite, known.clone());
    let mut scenario = scenario.unwrap().with_compensations().unwrap();
    let topic = scenario.compensation_topic();
    scenario.setup = scenario
        .setup
        .clone()
        .key("compensation.look_ms", "50")
        .key("dead_letters.halt_window", "100");
    let mut generator =
        Generator::new(Mix { repeats_ppm: 300_000, zipf: false, ..clicks(88) }, &known);
    let (sender, begin_us) = (scenario.sender().unwrap(), now_us() - 60_000_000);
    for at in 0..1_000 {
        let at_us = begin_us + at * 1_000;
        sender.send(&generator.next(at_us), at_us).unwrap();
    }
    sender.flush().unwrap();
    // Behind the junk that halts them, partitions 1 and 2 hold honest compensations.
    let sender = scenario.compensation_sender().unwrap();
    for _ in 0..90 {
        sender.send_to(1, Some(b"no JSON"), now_us()).unwrap();
        sender.send_to(2, Some(b"{}"), now_us()).unwrap();
    }
    let repeats = generator.take_repeats(i64::MAX);
    assert!(repeats.len() > 20);
    for (at, repeat) in repeats.iter().enumerate() {
        let honest = Compensation::new(repeat, &known, now_us()).event();
        sender.send_to(1 + (at % 2) as i32, honest.payload.as_deref(), now_us()).unwrap();
    }
    sender.flush().unwrap();
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    let halted = wait_until("both partitions to halt", LIMIT, || {
        let rows = scenario.ledger.progress(&topic).ok()?;
        let halted = rows.into_iter().filter(|row| row.halted_reason.is_some());
        let halted: Vec<_> = halted.map(|row| (row.kafka_partition, row.next_offset)).collect();
        (halted.len() == 2).then_some(halted)
    });
    assert_eq!(halted.unwrap(), [(1, 50), (2, 50)]);
    let status = host.wait_status("the host to show both halts", LIMIT, |status| {
        status.compensation_partitions.iter().filter(|one| one.halted.is_some()).count() == 2
    });
    let status = status.unwrap();
    assert!(status.ready && status.partitions.iter().all(|one| one.halted.is_none()), "{status:?}");
    assert!(status.compensation_partitions.iter().all(|one| one.topic == topic), "{status:?}");
    for (partition, expected) in [(0, 0.0), (1, 1.0), (2, 1.0)] {
        let metric = halted_metric(&topic, partition);
        assert_eq!(host.metric(&metric), Some(expected), "{metric}");
    }
    let group = format!("{topic}-group");
    assert!(scenario.setup.run(&["partition", "list"]).unwrap().contains(&group));

    let no_such = ["--topic", "ad-event", "--partition", "1", "--offset", "50", "--note", "n"];
    let no_such = [&["partition", "go-on"][..], &no_such].concat();
    let refused = scenario.setup.run(&no_such).unwrap_err().to_string();
    assert!(refused.contains("ad-event is no topic") && refused.contains(&topic), "{refused}");
    for halted in status.compensation_partitions.iter().filter_map(|one| one.halted.as_deref()) {
        go_on(&scenario, halted);
    }
    scenario.wait_settled(&host, 0).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    let (_, refunds) = scenario.verify_refunds(&Model::new(&known)).unwrap();
    assert_eq!((refunds.malformed.len(), refunds.settled.len()), (180, repeats.len()));
    assert!(refunds.settled.values().all(|row| row.state == State::Refunded));
}
