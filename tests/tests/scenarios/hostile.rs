//! Rules that mean harm, on the real host: they harm their own clicks only, or are not taken at all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tollgate_domain::rule::World;
use tollgate_tests::generator::Mix;
use tollgate_tests::generator::campaigns::campaigns;
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::scenario::{Database, Scenario};
use tollgate_tests::model::{Fate, Model};

use super::rules::rules_with;
use crate::guests::corpus::{self, End};
use crate::guests::{POISON_MICROS, bombs};

const EVENTS: usize = 4_000;
/// Campaigns that are priced as they should be, beside one for each way to fail.
const GOOD_CAMPAIGNS: usize = 20;
/// What the host may use while a module takes all it can get in every call. Alone it uses about a third of it.
const MEMORY_BYTES_MAX: u64 = 600 << 20;
const LIMIT: Duration = Duration::from_secs(60);

/// Hostile modules that fail on the poison alone, with their codes, as far as they fit into one module: the pool has
/// no room for their tables, and an answer about one click is in order.
fn ways_to_fail() -> Vec<(&'static str, &'static str)> {
    let fits = |name: &str| {
        let extra = corpus::part(name, "extra").unwrap_or_default();
        corpus::part(name, "poison").is_some()
            && !extra.contains("(table")
            && name != "answers-out-of-order"
    };
    let ways = corpus::ENDS.iter().filter_map(|(name, end)| match end {
        End::Fault(code) if fits(name) => Some((*name, *code)),
        _ => None,
    });
    ways.filter(|(name, _)| corpus::names().iter().any(|file| file == name)).collect()
}

#[test]
fn clicks_beside_a_rule_that_fails_in_every_way_are_charged_exactly() {
    let ways = ways_to_fail();
    assert!(ways.len() > 20, "{ways:?}");
    let mut known = campaigns(9, ways.len() + GOOD_CAMPAIGNS, 6);
    for (campaign, at) in known.iter_mut().zip(0..ways.len()) {
        campaign.cpc_micros = POISON_MICROS + at as i64;
    }
    let mut scenario = Scenario::new("hostile", Database::Postgres, known).unwrap();
    let names: Vec<&str> = ways.iter().map(|(name, _)| *name).collect();
    let rules = rules_with(World::Pricing, &corpus::menagerie(&names));
    scenario.setup.rules_dir = rules.path().to_owned();
    let mix = Mix { seed: 31, zipf: false, repeats_ppm: 0, ..Mix::default() };
    scenario.produce(mix, EVENTS).unwrap();
    let campaigns = scenario.campaigns.clone();
    let codes = campaigns.iter().zip(&ways).map(|(campaign, (_, code))| (&*campaign.id, *code));
    let model = Model::new(&campaigns).with_hostile_pricing(1_000, codes);
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    let peak_kib = host.resident_kib_most().unwrap();
    assert!(host.terminate(LIMIT).unwrap().success());
    let outcome = scenario.verify(&model).unwrap();
    let dead = outcome.fates.values().filter_map(|fate| match fate {
        Fate::Dead(code) => Some(*code),
        _ => None,
    });
    let died: BTreeSet<&str> = dead.collect();
    let meant: BTreeSet<&str> = ways.iter().map(|(_, code)| *code).collect();
    assert!(died.is_superset(&meant), "{died:?} lacks some of {meant:?}");
    assert!(peak_kib < MEMORY_BYTES_MAX / 1_024, "{peak_kib} KiB");
    println!("{} ways to fail, peak {peak_kib} KiB", ways.len());
}

/// One hostile module for each code of a refusal.
fn one_of_each_refusal() -> BTreeMap<&'static str, Vec<u8>> {
    let mut made: BTreeMap<&str, Vec<u8>> =
        [bombs::broken(), bombs::descriptions(), bombs::bombs()].concat().into_iter().collect();
    let mut refusals = BTreeMap::new();
    for (name, end) in corpus::ENDS {
        let End::Refused(code) = end else { continue };
        if !refusals.contains_key(code) && corpus::world(name) == World::Pricing {
            refusals.insert(*code, made.remove(name).unwrap_or_else(|| corpus::module(name)));
        }
    }
    refusals
}

#[test]
fn modules_that_are_not_admitted_are_refused_with_their_code() {
    let mut scenario = Scenario::new("refused", Database::Sqlite, campaigns(1, 1, 1)).unwrap();
    let refusals = one_of_each_refusal();
    assert!(refusals.len() > 9, "{:?}", refusals.keys());
    for (code, module) in &refusals {
        let rules = rules_with(World::Pricing, module);
        scenario.setup.rules_dir = rules.path().to_owned();
        let error = scenario.setup.run(&["check"]).unwrap_err().to_string();
        assert!(error.contains(code), "{code}: {error}");
    }
    for code in ["IMPORT_REFUSED", "FLOAT_REFUSED", "MODULE_TOO_COMPLEX"] {
        let rules = rules_with(World::Pricing, &refusals[code]);
        scenario.setup.rules_dir = rules.path().to_owned();
        let mut host = Host::launch(&scenario.setup).unwrap();
        assert!(!host.wait_end(LIMIT).unwrap().success(), "{code}");
        assert!(host.log().contains(code), "{code}: {}", host.log());
    }
}
