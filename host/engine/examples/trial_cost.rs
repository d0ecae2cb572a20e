//! What trials cost, in ns a click with pricing and threshold together, each with a fresh instance per batch.
//!
//! `cargo run --release -p tollgate-engine --example trial_cost -- [--folder target/rules]`
//! `alone` is the rules in force as the writer asks them, with what parts rows in place and no trial; `watched` is the
//! writer's part of a shadow, `canary` asks a candidate about a tenth of the campaigns. `compare` is what the shadow's own
//! thread does, `own` the part of that which the candidate itself takes. Every click has a campaign of its own, which is
//! the worst case; figures are medians of rounds that take turns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tollgate_domain::facts::{
    CampaignColumns, CampaignDayColumns, ClickColumns, MovementColumns, PricingFacts,
    ThresholdFacts, day_state,
};
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::money::Micros;
use tollgate_domain::rule::{Needs, Rules, World};
use tollgate_domain::transcript::{Call, ClickTranscript, JudgeCall, MovedDays, Outcome};
use tollgate_domain::trial::{Candidate, Comparison, Role, Scope, Sides, Tally, compare};
use tollgate_engine::{Engine, EngineLimits, Rule, RuleSet};

/// As the host itself has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCHES: [usize; 3] = [1, 256, 4096];
const ROUNDS: usize = 21;
const CLICKS_PER_ROUND: usize = 1 << 17;
const CALLS_PER_ROUND_MAX: usize = 2_000;
const WORLDS: [World; 2] = [World::Pricing, World::Threshold];
const FENCE: FenceLimits = FenceLimits { charge_max: Micros(i64::MAX), pause_floor_ppm: 0 };

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--folder");
    let folder = at.and_then(|at| arguments.get(at + 1)).map_or_else(default_folder, PathBuf::from);
    let engine = Engine::new(EngineLimits::default())?;
    Engine::prepare_thread();
    let names = ["direct", "alone", "watched", "canary", "compare", "own"];
    println!("{:>6} {}", "batch", names.map(|name| format!("{name:>9}")).join(""));
    for batch in BATCHES {
        let costs = measure(batch, &engine, &folder)?;
        println!("{batch:>6} {}", costs.map(|cost| format!("{cost:>9.1}")).join(""));
    }
    Ok(())
}

fn measure(batch: usize, engine: &Engine, folder: &Path) -> Result<[f64; 6], Failure> {
    let load = || load(engine, folder);
    let (mut direct, mut alone) = (load()?, Sides::alone(load()?));
    let mut watched = Sides::alone(load()?);
    watched.set_watched(Some([Needs::default(); 2]));
    let scope = Scope { share_ppm: 100_000, salt: "salt".to_owned(), ..Scope::default() };
    let candidate =
        Candidate { rules: load()?, worlds: WORLDS.to_vec(), scope, charge_max: Micros(i64::MAX) };
    let mut canary = Sides::with_candidate(load()?, candidate);
    let mut other = load()?;

    let (plain, named) = (facts(batch, false), facts(batch, true));
    let transcript = transcript(&named, &mut direct);
    let all = Scope::all();
    let how = Comparison {
        role: Role::Candidate,
        scope: &all,
        worlds: &WORLDS,
        fence: &FENCE,
        rows_max: batch,
    };
    let calls = (CLICKS_PER_ROUND / batch).min(CALLS_PER_ROUND_MAX);
    let per_click = |elapsed_ns: u128| elapsed_ns as f64 / (calls * batch) as f64;
    let mut rounds = [const { Vec::new() }; 6];
    for _ in 0..ROUNDS {
        rounds[0].push(per_click(ask(calls, &mut direct, &plain)));
        rounds[1].push(per_click(ask(calls, &mut alone, &plain)));
        rounds[2].push(per_click(ask(calls, &mut watched, &named)));
        rounds[3].push(per_click(ask(calls, &mut canary, &named)));
        other.take_stats();
        let begin = Instant::now();
        for _ in 0..calls {
            let mut tally = Tally::default();
            compare(&transcript, &how, &mut other, &mut tally)?;
            assert_eq!(tally.total().clicks, batch as i64);
        }
        rounds[4].push(per_click(begin.elapsed().as_nanos()));
        let own: u64 = other.take_stats().iter().map(|(_, stats)| stats.ns).sum();
        rounds[5].push(per_click(own.into()));
    }
    Ok(rounds.map(median))
}

fn ask(calls: usize, rules: &mut dyn Rules, facts: &(PricingFacts, ThresholdFacts)) -> u128 {
    let begin = Instant::now();
    for _ in 0..calls {
        let quotes = rules.price(&facts.0).expect("the rule answers");
        let verdicts = rules.judge(&facts.1).expect("the rule answers");
        assert_eq!(quotes.reason.len(), verdicts.action.len());
    }
    begin.elapsed().as_nanos()
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn load(engine: &Engine, folder: &Path) -> Result<RuleSet, Failure> {
    let rule = |world: World| -> Result<Rule, Failure> {
        let path = folder.join(format!("{world}.wasm"));
        let bytes = std::fs::read(&path)
            .map_err(|error| format!("{}: {error}; run `cargo xtask rules`", path.display()))?;
        Ok(Rule::bind(engine.admit(world, &bytes)?, &BTreeMap::new())?)
    };
    Ok(RuleSet::new(rule(World::Pricing)?, rule(World::Threshold)?)?)
}

fn default_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/rules")
}

/// The record of one batch that was asked about in one call.
fn transcript(
    (pricing, threshold): &(PricingFacts, ThresholdFacts),
    rules: &mut RuleSet,
) -> ClickTranscript {
    let rows = pricing.clicks.len() as u32;
    let quotes = rules.price(pricing).expect("the rule answers");
    let verdicts = rules.judge(threshold).expect("the rule answers");
    let outcome = Outcome::Answered(verdicts);
    let judged = JudgeCall { moved: MovedDays::default(), call: Call { first: 0, rows, outcome } };
    ClickTranscript {
        offsets: (0..i64::from(rows)).collect(),
        pricing: pricing.clone(),
        price_calls: vec![Call { first: 0, rows, outcome: Outcome::Answered(quotes) }],
        priced: (0..rows).collect(),
        threshold: threshold.clone(),
        judge_calls: vec![judged],
        ..ClickTranscript::default()
    }
}

/// Clicks and movements; with the campaigns' ids, as trials want them.
fn facts(rows: usize, with_ids: bool) -> (PricingFacts, ThresholdFacts) {
    let index: Vec<u32> = (0..rows as u32).collect();
    let price = |row: &u32| 1_000_000 + i64::from(row % 7) * 10_000;
    let (mut texts, mut id) = (Vec::new(), Vec::new());
    if with_ids {
        texts = index.iter().map(|row| format!("campaign_{row}")).collect();
        id.clone_from(&index);
    }
    let stored_price_micros = index.iter().map(price).collect();
    let campaigns = CampaignColumns { id, stored_price_micros, ..CampaignColumns::default() };
    let cached = index.iter().map(|row| if row % 5 == 0 { -1 } else { price(row) + 1 });
    let clicks = PricingFacts {
        texts: texts.clone(),
        campaigns: CampaignColumns { cached_price_micros: cached.collect(), ..campaigns.clone() },
        clicks: ClickColumns {
            campaign: index.clone(),
            occurred_at_ms: vec![1_790_000_000_000; rows],
            bid_micros: vec![-1; rows],
            actual_micros: vec![-1; rows],
            placement: vec![1; rows],
            ..ClickColumns::default()
        },
    };
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
    let amount_micros = index.iter().map(price).collect();
    let movements = MovementColumns { campaign_day: index, amount_micros };
    (clicks, ThresholdFacts { texts, campaigns, days, movements })
}
