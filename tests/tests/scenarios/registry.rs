//! The registry as people use it: folders that change, rules that fail, rules that cannot be loaded, signatures.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tollgate_domain::rule::World;
use tollgate_tests::generator::Mix;
use tollgate_tests::generator::campaigns::campaigns;
use tollgate_tests::harness::host::{Host, Setup};
use tollgate_tests::harness::scenario::{Database, Scenario};
use tollgate_tests::model::Model;
use tollgate_tests::servers::folder::Folder;
use tollgate_tests::wait::wait_until;

use crate::guests::{GOOD, Guest, shipped};

const LIMIT: Duration = Duration::from_secs(60);
const FLAT_MICROS: i64 = 1_000;
const CLICKS: usize = 2_000;

fn clicks(seed: u64) -> Mix {
    Mix { seed, impressions_ppm: 0, clicks_ppm: 1_000_000, poison_ppm: 0, ..Mix::default() }
}

fn scenario(name: &str, database: Database) -> Scenario {
    Scenario::new(name, database, campaigns(17, 20, 6)).unwrap()
}

/// A folder with the shipped rules.
fn rules() -> Folder {
    let folder = Folder::new("rules").unwrap();
    for world in World::ALL {
        fs::write(folder.file(&format!("{world}.wasm")), shipped(world)).unwrap();
    }
    folder
}

/// A file with a module.
fn module(folder: &Folder, name: &str, guest: &Guest) -> String {
    let path = folder.file(name);
    fs::write(&path, guest.build()).unwrap();
    path.display().to_string()
}

/// Puts a file where hosts look, whole.
fn swap_in(folder: &Folder, name: &str, bytes: &[u8]) {
    fs::write(folder.file("new"), bytes).unwrap();
    fs::rename(folder.file("new"), folder.file(name)).unwrap();
}

fn follows_ledger(scenario: &Scenario) -> Setup {
    scenario.setup.clone().key("rules.source", "\"ledger\"")
}

/// Runs a command that has to fail, with these words.
fn check_refused(setup: &Setup, arguments: &[&str], words: &str) {
    let error = setup.run(arguments).expect_err(&format!("{arguments:?}")).to_string();
    assert!(error.contains(words), "{arguments:?}: {error}");
}

fn active(scenario: &mut Scenario) -> i64 {
    scenario.ledger.number("SELECT number FROM rule_activation").unwrap()
}

fn wait_active(scenario: &mut Scenario, number: i64, host: &Host) {
    let reached = wait_until("other rules", LIMIT, || (active(scenario) == number).then_some(()));
    reached.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()));
}

#[test]
fn a_folder_that_changes_goes_into_force_as_a_whole() {
    let mut scenario = scenario("folder", Database::Sqlite);
    let folder = rules();
    scenario.setup.rules_dir = folder.path().to_owned();
    let mut host = Host::start(&scenario.setup).unwrap();
    assert_eq!(active(&mut scenario), 1);

    // Half a module is none.
    let flat = Guest::pricing(GOOD).build();
    fs::write(folder.file("pricing.wasm"), &flat[..flat.len() / 2]).unwrap();
    let refused = "tollgate_rules_refused_total{code=\"FOLDER_REFUSED\"}";
    wait_until("a refusal", LIMIT, || host.metric(refused)).unwrap();
    assert_eq!(active(&mut scenario), 1);

    // Two modules that belong together go into force together.
    let changed = shipped(World::Notification);
    let terse = crate::guests::built("others/terse_notification.wasm");
    assert_ne!(changed, terse);
    swap_in(&folder, "notification.wasm", &terse);
    swap_in(&folder, "pricing.wasm", &flat);
    wait_active(&mut scenario, 2, &host);
    let parts = "SELECT world FROM rule_generation_parts p WHERE number = 2 AND NOT EXISTS (
        SELECT 1 FROM rule_generation_parts o WHERE o.number = 1 AND o.digest = p.digest) ORDER BY world";
    assert_eq!(scenario.ledger.texts(parts).unwrap(), ["notification", "pricing"]);
    scenario.produce(clicks(1), 100).unwrap();
    scenario.wait_charged(&host).unwrap();
    let sql = format!(
        "SELECT count(*) FROM ad_balance_histories WHERE generation = 2 AND amount_micros = -{FLAT_MICROS}"
    );
    assert_eq!(scenario.ledger.number(&sql).unwrap(), 100);

    // A rollback outlives a restart on the same folder; another change of the folder does not wait for anybody.
    scenario.setup.run(&["rule", "rollback", "--note", "too flat"]).unwrap();
    assert_eq!(active(&mut scenario), 3);
    assert!(host.terminate(LIMIT).unwrap().success());
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.produce(clicks(2), 100).unwrap();
    scenario.wait_charged(&host).unwrap();
    assert_eq!(active(&mut scenario), 3);
    swap_in(&folder, "pricing.wasm", &shipped(World::Pricing));
    wait_active(&mut scenario, 4, &host);
    assert!(host.terminate(LIMIT).unwrap().success());
    scenario.setup.run(&["audit"]).unwrap();
}

#[test]
fn a_folder_that_the_ledger_cannot_take_now_goes_into_force_later() {
    let mut scenario = scenario("folder-later", Database::Postgres);
    let folder = rules();
    scenario.setup.rules_dir = folder.path().to_owned();
    let mut host = Host::start(&scenario.setup).unwrap();
    // As if somebody had taken the right to write modules away.
    let refuse = "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql
           AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''42501'', MESSAGE = ''permission denied''; END';
        CREATE TRIGGER not_now BEFORE INSERT ON rule_modules FOR EACH ROW EXECUTE FUNCTION not_now()";
    scenario.ledger.execute(refuse).unwrap();
    swap_in(&folder, "pricing.wasm", &Guest::pricing(GOOD).build());
    let refused = "tollgate_rules_refused_total{code=\"LEDGER_UNEXPECTED\"}";
    wait_until("a refusal", LIMIT, || host.metric(refused)).unwrap();
    assert_eq!(active(&mut scenario), 1);
    // Nobody touches the folder again.
    scenario.ledger.execute("DROP TRIGGER not_now ON rule_modules").unwrap();
    wait_active(&mut scenario, 2, &host);
    assert_eq!(host.metric(refused), Some(1.0), "it is told once:\n{}", host.log());
    assert!(host.terminate(LIMIT).unwrap().success());
}

#[test]
fn a_host_says_when_the_rules_of_its_folder_are_not_in_force() {
    let mut scenario = scenario("folder-older", Database::Sqlite);
    let folder = rules();
    scenario.setup.rules_dir = folder.path().to_owned();
    let said = |host: &Host| {
        let page: serde_json::Value =
            serde_json::from_str(&host.get("/status").unwrap().1).unwrap();
        page["generation_in_force"]["folder"].as_str().map(str::to_owned)
    };
    let mut host = Host::start(&scenario.setup).unwrap();
    assert_eq!(said(&host), None);
    assert!(host.terminate(LIMIT).unwrap().success());
    let flat = Folder::new("older").unwrap();
    let flat = module(&flat, "flat.wasm", &Guest::pricing(GOOD));
    scenario.setup.run(&["rule", "activate", &flat, "--note", "flat"]).unwrap();
    // A pod with another hostname and the same image.
    let other = "UPDATE rule_generations SET source = 'other-' || source WHERE source <> ''";
    scenario.ledger.execute(other).unwrap();
    let mut host = Host::start(&scenario.setup).unwrap();
    assert_eq!(active(&mut scenario), 2);
    let sentence = said(&host).expect("a sentence");
    let command = "rule rollback --to 1 --note";
    let dir = folder.path().display().to_string();
    assert!(sentence.contains(command) && sentence.contains(&dir), "{sentence}");
    assert!(host.log().contains("are not in force"), "{}", host.log());
    let words: Vec<_> = command.split(' ').chain(["as the folder says"]).collect();
    scenario.setup.run(&words).unwrap();
    assert_eq!(active(&mut scenario), 3);
    wait_until("the page to be content", LIMIT, || said(&host).is_none().then_some(())).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success());
}

#[test]
fn an_idle_host_charges_its_next_click_by_new_rules() {
    let mut scenario = scenario("idle", Database::Postgres);
    let (setup, folder) = (follows_ledger(&scenario), Folder::new("idle").unwrap());
    let flat = module(&folder, "flat.wasm", &Guest::pricing(GOOD));
    let mut host = Host::start(&setup).unwrap();
    setup.run(&["rule", "activate", &flat, "--note", "flat"]).unwrap();
    let page = |host: &Host| host.get("/status").unwrap().1;
    wait_until("the page to say so", LIMIT, || page(&host).contains("\"number\":2").then_some(()))
        .unwrap();
    scenario.produce(clicks(1), 1).unwrap();
    scenario.wait_charged(&host).unwrap();
    let sql = "SELECT generation * 10000 - amount_micros FROM ad_balance_histories";
    assert_eq!(scenario.ledger.number(sql).unwrap(), 20_000 + FLAT_MICROS);
    let calls = "tollgate_rule_rows_total{world=\"pricing\",rule=\"test-rule\",version=\"1.0.0\",generation=\"2\"}";
    assert_eq!(host.metric(calls), Some(1.0));
    assert!(host.terminate(LIMIT).unwrap().success());
}

#[test]
fn rules_that_always_fail_are_left_for_the_last_good_ones() {
    let mut scenario = scenario("failing", Database::Postgres);
    let (setup, folder) = (follows_ledger(&scenario), Folder::new("failing").unwrap());
    let setup = setup.key("rules.faults_max", "50");
    let trap = module(&folder, "trap.wasm", &Guest::pricing("(unreachable)"));
    let mut hosts = [Host::start(&setup).unwrap(), Host::start(&setup).unwrap()];
    setup.run(&["rule", "activate", &trap, "--note", "a better price"]).unwrap();
    scenario.produce(clicks(3), CLICKS).unwrap();
    scenario.wait_charged(&hosts[0]).unwrap();
    assert_eq!(active(&mut scenario), 3);
    for host in &mut hosts {
        assert!(host.terminate(LIMIT).unwrap().success());
    }
    let (ledger, count) = (&mut scenario.ledger, "SELECT count(*) FROM");
    let charged = ledger.number(&format!("{count} ad_balance_histories WHERE generation <> 2"));
    let dead = ledger.number(&format!("{count} dead_letters WHERE code = 'RULE_TRAP'")).unwrap();
    assert_eq!(charged.unwrap() + dead, CLICKS as i64);
    assert!(dead < 2 * 50, "{dead} dead letters, each host leaves at 50 at the latest");
    let told = ledger.texts("SELECT dedup_key FROM outbox WHERE kind = 'RULE_FAULT'").unwrap();
    assert_eq!(told, ["rule-fault:2"]);
    let changes = ledger.texts("SELECT kind FROM rule_changes WHERE generation = 3").unwrap();
    assert_eq!(changes, ["FALLBACK"]);
    setup.run(&["audit"]).unwrap();
}

#[test]
fn rules_that_a_host_cannot_load_are_waited_out() {
    let mut scenario = scenario("refusing", Database::Postgres);
    let (setup, folder) = (follows_ledger(&scenario), Folder::new("refusing").unwrap());
    // What the operator's machine admits, this host does not.
    let strict = setup.clone().key("rules.fuel_base_max", "30000000");
    let hungry = Guest::pricing(GOOD).described(|description| description.fuel_base = 40_000_000);
    let hungry = module(&folder, "hungry.wasm", &hungry);
    let mut host = Host::start(&strict).unwrap();
    setup.run(&["rule", "activate", &hungry, "--note", "hungry"]).unwrap();
    let unready = |host: &Host, code: &str| {
        let ready = host.get("/readyz").unwrap();
        (ready.0 == 503 && ready.1.contains(code)).then_some(())
    };
    wait_until("red", LIMIT, || unready(&host, "FUEL_TOO_HIGH")).unwrap();
    scenario.produce(clicks(4), 100).unwrap();
    // A host that starts now waits, too, and says why.
    let mut late = Host::launch(&strict).unwrap();
    wait_until("red as well", LIMIT, || {
        late.get("/readyz")
            .ok()
            .filter(|(code, text)| *code == 503 && text.contains("FUEL_TOO_HIGH"))
    })
    .unwrap();
    assert!(host.ended().is_none() && late.ended().is_none());
    assert_eq!(scenario.ledger.number("SELECT count(*) FROM ad_balance_histories").unwrap(), 0);
    setup.run(&["rule", "rollback", "--note", "too hungry"]).unwrap();
    host.wait_ready().unwrap();
    late.wait_ready().unwrap();
    scenario.wait_charged(&host).unwrap();
    assert_eq!(
        scenario
            .ledger
            .number("SELECT count(*) FROM ad_balance_histories WHERE generation = 3")
            .unwrap(),
        100
    );
    for host in [&mut host, &mut late] {
        assert!(host.terminate(LIMIT).unwrap().success());
    }

    // Bytes that have rotted are not run.
    let rot = "UPDATE rule_modules SET bytes = set_byte(bytes, length(bytes) - 1, 255 - get_byte(bytes, length(bytes) - 1))
        WHERE digest = (SELECT digest FROM rule_generation_parts WHERE number = 3 AND world = 'refund')";
    scenario.ledger.execute(rot).unwrap();
    let mut host = Host::launch(&setup).unwrap();
    wait_until("red again", LIMIT, || {
        host.get("/readyz")
            .ok()
            .filter(|(code, text)| *code == 503 && text.contains("MODULE_DAMAGED"))
    })
    .unwrap();
    assert!(host.terminate(LIMIT).unwrap().success());
    let model = Model::new(&scenario.campaigns);
    scenario.verify(&model).unwrap();
}

#[test]
fn only_signed_modules_are_taken_where_that_is_required() {
    let scenario = scenario("signed", Database::Sqlite);
    let (setup, folder) = (follows_ledger(&scenario), Folder::new("signed").unwrap());
    let path = |name: &str| folder.file(name).display().to_string();
    let key = |name: &str| {
        let printed = setup_free(&setup, &["rule", "keygen", &path(name)]);
        let line = printed.lines().find_map(|line| line.strip_prefix("NAME = ")).unwrap();
        line.trim_matches('"').to_owned()
    };
    let (ann, _bob) = (key("ann.key"), key("bob.key"));
    let named = |name: &str, version: &str| {
        let (name, version) = (name.to_owned(), version.to_owned());
        Guest::pricing(GOOD).described(move |described| {
            (described.name, described.version) = (name, version);
        })
    };
    let one = module(&folder, "one.wasm", &named("night", "1.0.0"));
    let two = module(&folder, "two.wasm", &named("night", "2.0.0"));
    let strict = setup
        .clone()
        .key("rules.signatures", "\"required\"")
        .key("rules.trusted_keys", format!("{{ ann = {ann:?} }}"));
    let publish = |file: &str| ["rule", "publish", file, "--note", "n"].map(str::to_owned).to_vec();
    let with_key =
        |file: &str, key: &str| [publish(file), vec!["--key".into(), path(key)]].concat();
    let texts = |words: &[String]| words.to_vec();
    let refuse = |setup: &Setup, words: &[String], code: &str| {
        let words: Vec<_> = texts(words);
        check_refused(setup, &words.iter().map(String::as_str).collect::<Vec<_>>(), code);
    };
    refuse(&strict, &publish(&one), "SIGNATURE_MISSING");
    refuse(&strict, &with_key(&one, "bob.key"), "SIGNATURE_UNKNOWN_KEY");
    let run = |setup: &Setup, words: &[String]| {
        setup.run(&words.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
    };
    run(&strict, &with_key(&one, "ann.key"));
    // The signature of other bytes, and of another version.
    setup.run(&["rule", "sign", &one, "--key", &path("ann.key")]).unwrap();
    fs::copy(path("one.wasm.sig"), path("two.wasm.sig")).unwrap();
    refuse(&strict, &publish(&two), "SIGNATURE_WRONG");
    refuse(&setup, &publish(&two), "SIGNATURE_WRONG");
    fs::remove_file(path("two.wasm.sig")).unwrap();
    // The name is Ann's now, also where nothing has to be signed.
    refuse(&setup, &publish(&two), "NAME_TAKEN");
    refuse(&setup, &with_key(&two, "bob.key"), "NAME_TAKEN");
    let other =
        Guest::refund("(unreachable)").described(|described| described.name = "night".into());
    let other = module(&folder, "other.wasm", &other);
    refuse(&setup, &publish(&other), "NAME_TAKEN");
    run(&setup, &[with_key(&two, "bob.key"), vec!["--take-over".into()]].concat());
    // What was published elsewhere is refused where it is activated.
    refuse(
        &strict,
        &["rule", "activate", "night@2.0.0", "--note", "n"].map(str::to_owned),
        "SIGNATURE_UNKNOWN_KEY",
    );
    check_refused(
        &strict,
        &["rule", "activate", "night@1.0.0", "--note", "n"],
        "GENERATION_INCOMPLETE",
    );
    assert!(Path::new(&path("ann.key")).exists());
}

#[test]
fn a_module_with_an_interpreter_is_published_where_its_world_is_named() {
    let scenario = scenario("interpreted", Database::Sqlite);
    let (setup, folder) = (follows_ledger(&scenario), Folder::new("interpreted").unwrap());
    let floats = "(func $half (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))";
    let path = module(&folder, "half.wasm", &Guest::notification("(unreachable)").extra(floats));
    let publish = ["rule", "publish", &path, "--note", "n"];
    check_refused(&setup, &publish, "FLOAT_REFUSED");
    setup.key("rules.interpreted", "[\"notification\"]").run(&publish).unwrap();
}

/// Runs a command that takes no configuration.
fn setup_free(_setup: &Setup, arguments: &[&str]) -> String {
    let binary = tollgate_tests::harness::host::binary().unwrap();
    let output = std::process::Command::new(binary).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
