//! What a rule costs that brings an interpreter along: admission, which compiles it, and calls by their number of rows.
//!
//! `cargo run --release -p tollgate-engine --example interpreted_cost -- threshold FILE.wasm`

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use tollgate_domain::facts::{
    CampaignColumns, CampaignDayColumns, MovementColumns, ThresholdFacts, day_state,
};
use tollgate_domain::notice::{Happening, HappeningFacts, HappeningKind};
use tollgate_domain::rule::{Rules as _, World};
use tollgate_engine::{
    CallStats, Engine, EngineLimits, InterpretedLimits, Module, Notifier, Rule, RuleSet,
};

const BATCHES: [usize; 3] = [1, 16, 256];
const ROUNDS: u32 = 5;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [world, file] = &arguments[..] else { return Err("expected: WORLD FILE".into()) };
    let limits =
        EngineLimits { interpreted: Some(InterpretedLimits::default()), ..EngineLimits::default() };
    let engine = Engine::new(limits)?;
    let bytes = std::fs::read(file)?;
    let start = Instant::now();
    let world = World::named(world).ok_or("what world?")?;
    let module = engine.admit(world, &bytes)?;
    println!("{} bytes, admitted in {} ms", bytes.len(), start.elapsed().as_millis());
    println!("{:>6} {:>14} {:>14}", "rows", "us a call", "fuel a call");
    for rows in BATCHES {
        let stats = measure(world, &engine, &module, rows)?;
        let (us, fuel) = (stats.0, stats.1.fuel / u64::from(ROUNDS));
        println!("{rows:>6} {us:>14} {fuel:>14}");
    }
    Ok(())
}

/// Median time of a call in microseconds, and the sums.
fn measure(
    world: World,
    engine: &Engine,
    module: &Module,
    rows: usize,
) -> Result<(u128, CallStats), Failure> {
    let rule = Rule::bind(module.clone(), &BTreeMap::new())?;
    let (us, stats) = match world {
        World::Threshold => {
            let facts = movements(rows);
            let mut rules = RuleSet::new(shipped(engine)?, rule)?;
            let us = median(|| rules.judge(&facts).map(drop))?;
            (us, rules.take_stats()[1].1)
        }
        World::Notification => {
            let happenings = vec![happening(); rows];
            let mut notifier = Notifier::new(rule)?;
            let us = median(|| notifier.compose(&happenings).map(drop))?;
            (us, notifier.take_stats())
        }
        World::Pricing | World::Refund => return Err("worlds that move money have none".into()),
    };
    Ok((us, stats))
}

fn median<E>(mut call: impl FnMut() -> Result<(), E>) -> Result<u128, Failure>
where
    E: std::fmt::Display,
{
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        call().map_err(|error| error.to_string())?;
        rounds.push(start.elapsed().as_micros());
    }
    rounds.sort_unstable();
    Ok(rounds[rounds.len() / 2])
}

/// A set of rules has a pricing rule, which is not asked here.
fn shipped(engine: &Engine) -> Result<Rule, Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/rules/pricing.wasm");
    let module = engine.admit(World::Pricing, &std::fs::read(path)?)?;
    Ok(Rule::bind(module, &BTreeMap::new())?)
}

fn movements(rows: usize) -> ThresholdFacts {
    let index: Vec<u32> = (0..rows as u32).collect();
    let days = CampaignDayColumns {
        campaign: index.clone(),
        day: vec![20_778; rows],
        daily_budget_micros: vec![1_000_000_000; rows],
        spent_micros: index.iter().map(|row| i64::from(row % 1_000) * 1_000_000).collect(),
        counter_micros: vec![-1; rows],
        warned_ppm: vec![0; rows],
        pause_from_micros: vec![0; rows],
        state: vec![day_state::TODAY; rows],
    };
    let movements = MovementColumns { campaign_day: index, amount_micros: vec![1_000_000; rows] };
    ThresholdFacts { texts: Vec::new(), campaigns: CampaignColumns::default(), days, movements }
}

fn happening() -> Happening {
    Happening {
        kind: HappeningKind::Paused,
        facts: HappeningFacts {
            campaign_id: "campaign_100".to_owned(),
            advertiser_id: "advertiser_50".to_owned(),
            day: "2026-11-21".to_owned(),
            today: true,
            usage_ppm: 1_000_000,
            spent_micros: Some(100_000_000),
            daily_budget_micros: Some(100_000_000),
            count: 1,
            ..HappeningFacts::default()
        },
        local_minute: 720,
        weekday: 6,
        sent_today: 0,
        minutes_since_last: None,
    }
}
