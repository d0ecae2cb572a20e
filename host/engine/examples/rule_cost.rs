//! What a click costs in rules: pricing and threshold together, each with a fresh instance per batch, in ns a click.
//!
//! `cargo run --release -p tollgate-engine --example rule_cost -- [--json] [--batch 256] [--folder target/rules]`
//! Every click has a campaign of its own, which is the worst case; the figure is the median of the rounds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tollgate_domain::facts::{
    CampaignColumns, CampaignDayColumns, ClickColumns, MovementColumns, PricingFacts,
    ThresholdFacts, day_state,
};
use tollgate_domain::rule::{Rules, World};
use tollgate_engine::{Engine, EngineLimits, Rule, RuleSet};

/// As the host itself has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCHES: [usize; 4] = [1, 16, 256, 4096];
const ROUNDS: usize = 11;
/// Clicks of one round, so that each round takes some tens of milliseconds.
const CLICKS_PER_ROUND: usize = 1 << 18;
const CALLS_PER_ROUND_MAX: usize = 4_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let folder = option(&arguments, "--folder").map_or_else(default_folder, PathBuf::from);
    let mut rules = load(&folder)?;
    Engine::prepare_thread();
    let only = option(&arguments, "--batch").and_then(|batch| batch.parse::<usize>().ok());
    let batches = BATCHES.into_iter().filter(|batch| only.is_none_or(|only| only == *batch));
    let costs: Vec<_> = batches.map(|batch| (batch, Cost::measure(batch, &mut rules))).collect();
    if arguments.iter().any(|argument| argument == "--json") {
        println!("{}", json(&costs));
        return Ok(());
    }
    println!("{:>6} {:>12} {:>12} {:>12}", "batch", "pricing", "threshold", "ns a click");
    for (batch, cost) in &costs {
        let (pricing, threshold, both) = (cost.pricing, cost.threshold, cost.both);
        println!("{batch:>6} {pricing:>12.1} {threshold:>12.1} {both:>12.1}");
    }
    Ok(())
}

fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a String> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1)
}

/// Medians, in ns a click.
struct Cost {
    pricing: f64,
    threshold: f64,
    both: f64,
}

impl Cost {
    fn measure(batch: usize, rules: &mut RuleSet) -> Self {
        let (clicks, movements) = facts(batch);
        let calls = (CLICKS_PER_ROUND / batch).min(CALLS_PER_ROUND_MAX);
        let per_click = |elapsed_ns: u128| elapsed_ns as f64 / (calls * batch) as f64;
        let mut rounds = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            let (mut pricing_ns, mut threshold_ns) = (0, 0);
            for _ in 0..calls {
                let start = Instant::now();
                let quotes = rules.price(&clicks).expect("the rule answers");
                let priced = Instant::now();
                let verdicts = rules.judge(&movements).expect("the rule answers");
                threshold_ns += priced.elapsed().as_nanos();
                pricing_ns += (priced - start).as_nanos();
                assert_eq!((quotes.reason.len(), verdicts.action.len()), (batch, batch));
            }
            rounds[0].push(per_click(pricing_ns));
            rounds[1].push(per_click(threshold_ns));
            rounds[2].push(per_click(pricing_ns + threshold_ns));
        }
        let [pricing, threshold, both] = rounds.map(median);
        Self { pricing, threshold, both }
    }
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn json(costs: &[(usize, Cost)]) -> String {
    let entry = |(batch, cost): &(usize, Cost)| {
        let (pricing, threshold, both) = (cost.pricing, cost.threshold, cost.both);
        format!(
            "\"{batch}\":{{\"ns_per_click\":{both:.1},\"pricing_ns\":{pricing:.1},\
             \"threshold_ns\":{threshold:.1}}}"
        )
    };
    format!("{{\"rules\":{{{}}}}}", costs.iter().map(entry).collect::<Vec<_>>().join(","))
}

fn load(folder: &Path) -> Result<RuleSet, Failure> {
    let engine = Engine::new(EngineLimits::default())?;
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

fn facts(rows: usize) -> (PricingFacts, ThresholdFacts) {
    let index: Vec<u32> = (0..rows as u32).collect();
    let price = |row: &u32| 1_000_000 + i64::from(row % 7) * 10_000;
    let campaigns = CampaignColumns {
        stored_price_micros: index.iter().map(price).collect(),
        ..CampaignColumns::default()
    };
    let cached = index.iter().map(|row| if row % 5 == 0 { -1 } else { price(row) + 1 });
    let clicks = PricingFacts {
        texts: Vec::new(),
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
    let amounts = index.iter().map(price).collect();
    let movements = MovementColumns { campaign_day: index, amount_micros: amounts };
    (clicks, ThresholdFacts { texts: Vec::new(), campaigns, days, movements })
}
