//! Rules that mean harm: what each hostile module comes to, and that the host goes on as if it had not been.

mod support;

use std::collections::BTreeMap;

use support::corpus::{self, ENDS, End};
use support::{POISON_MICROS, bombs, shipped};
use tollgate_domain::facts::{
    CampaignColumns, CampaignDayColumns, ClickColumns, CompensationColumns, MovementColumns,
    PricingFacts, RefundColumns, ThresholdFacts, day_state,
};
use tollgate_domain::fence::{self, FenceLimits, MessageLimits, Nought};
use tollgate_domain::money::Micros;
use tollgate_domain::notice::{Happening, HappeningFacts, HappeningKind};
use tollgate_domain::refund::RefundRule;
use tollgate_domain::rule::{Description, RuleError, Rules, World};
use tollgate_engine::{Engine, EngineLimits, Module, Notifier, Refunder, Rule, RuleSet};

const UNIT: i64 = 1_000_000;
/// The heaviest modules were measured to take half of this.
const HEAVY_KIB_MAX: u64 = 640 << 10;
const FENCE: FenceLimits = FenceLimits { charge_max: Micros(UNIT), pause_floor_ppm: 500_000 };

fn engine() -> Engine {
    Engine::new(EngineLimits::default()).expect("the engine starts")
}

/// Admits a module and asks it about the poison; when it spares others, they are asked about, too.
fn end(engine: &Engine, world: World, bytes: &[u8], spares_others: bool) -> End {
    let module = match engine.admit(world, bytes) {
        Ok(module) => module,
        Err(error) => {
            assert!(error.to_string().len() < 1_000, "{error}");
            return End::Refused(error.code());
        }
    };
    let asked = match world {
        World::Pricing => price(engine, module, spares_others),
        World::Threshold => judge(engine, module),
        World::Refund => decide(module),
        World::Notification => compose(module),
    };
    match asked {
        Ok(()) => End::Answers,
        Err(RuleError::Fault(fault)) => End::Fault(fault.code.as_str()),
        Err(RuleError::Host(sentence)) => panic!("the host is blamed: {sentence}"),
    }
}

fn bind(module: Module) -> Rule {
    Rule::bind(module, &BTreeMap::new()).expect("the rule binds")
}

fn ours(engine: &Engine, world: World) -> Rule {
    bind(engine.admit(world, &shipped(world)).expect("the shipped rule is admitted"))
}

fn price(engine: &Engine, module: Module, spares_others: bool) -> Result<(), RuleError> {
    let rule: Description = module.description().clone();
    let mut rules = RuleSet::new(bind(module), ours(engine, World::Threshold)).expect("two worlds");
    let harmless = clicks(&[UNIT, UNIT]);
    let asked = rules.price(&clicks(&[UNIT, POISON_MICROS, UNIT])).and_then(|quotes| {
        Ok(fence::check_quotes(&clicks(&[UNIT, POISON_MICROS, UNIT]), &quotes, &rule, &FENCE)?)
    });
    if spares_others {
        let quotes = rules.price(&harmless).expect("other clicks are priced");
        assert_eq!(quotes.charge_micros, [1_000, 1_000]);
        assert_eq!(fence::check_quotes(&harmless, &quotes, &rule, &FENCE), Ok(()));
    }
    asked
}

fn judge(engine: &Engine, module: Module) -> Result<(), RuleError> {
    let rule: Description = module.description().clone();
    let mut rules = RuleSet::new(ours(engine, World::Pricing), bind(module)).expect("two worlds");
    let facts = movements();
    let verdicts = rules.judge(&facts)?;
    Ok(fence::check_verdicts(&facts, &verdicts, &rule, Nought::Click)?)
}

fn decide(module: Module) -> Result<(), RuleError> {
    let rule: Description = module.description().clone();
    let mut refunder = Refunder::new(bind(module)).expect("the world is right");
    let decisions = refunder.decide(&compensations())?;
    Ok(fence::check_decisions(&compensations(), &decisions, &rule)?)
}

fn compose(module: Module) -> Result<(), RuleError> {
    let mut notifier = Notifier::new(bind(module)).expect("the world is right");
    let happening = Happening {
        kind: HappeningKind::Warning,
        facts: HappeningFacts::default(),
        local_minute: 0,
        weekday: 1,
        sent_today: 0,
        minutes_since_last: None,
    };
    let messages = notifier.compose(&[happening])?;
    Ok(fence::check_messages(1, &messages, MessageLimits::default())?)
}

/// Clicks of campaigns with these stored prices, one each.
fn clicks(prices: &[i64]) -> PricingFacts {
    let rows = prices.len();
    PricingFacts {
        texts: Vec::new(),
        campaigns: CampaignColumns {
            stored_price_micros: prices.to_vec(),
            cached_price_micros: vec![-1; rows],
            ..CampaignColumns::default()
        },
        clicks: ClickColumns {
            campaign: (0..rows as u32).collect(),
            occurred_at_ms: vec![0; rows],
            bid_micros: vec![-1; rows],
            actual_micros: vec![-1; rows],
            placement: vec![0; rows],
            ..ClickColumns::default()
        },
    }
}

fn movements() -> ThresholdFacts {
    ThresholdFacts {
        texts: Vec::new(),
        campaigns: CampaignColumns {
            stored_price_micros: vec![UNIT],
            ..CampaignColumns::default()
        },
        days: CampaignDayColumns {
            campaign: vec![0],
            day: vec![20_000],
            daily_budget_micros: vec![100 * UNIT],
            spent_micros: vec![0],
            counter_micros: vec![-1],
            warned_ppm: vec![0],
            pause_from_micros: vec![0],
            state: vec![day_state::TODAY],
        },
        movements: MovementColumns { campaign_day: vec![0; 3], amount_micros: vec![UNIT; 3] },
    }
}

fn compensations() -> RefundColumns {
    RefundColumns {
        days: CampaignDayColumns { campaign: vec![0], ..CampaignDayColumns::default() },
        compensations: CompensationColumns {
            campaign_day: vec![0],
            claimed_micros: vec![200],
            refundable_micros: vec![1_000],
            ..CompensationColumns::default()
        },
        ..RefundColumns::default()
    }
}

/// Every module of the corpus with its world, and whether it spares clicks of other campaigns.
fn modules() -> Vec<(String, World, Vec<u8>, bool)> {
    let files = corpus::names().into_iter().map(|name| {
        let (world, module) = (corpus::world(&name), corpus::module(&name));
        let spares_others = corpus::part(&name, "poison").is_some();
        (name, world, module, spares_others)
    });
    let made = [bombs::broken(), bombs::descriptions(), bombs::bombs()].concat();
    let made =
        made.into_iter().map(|(name, module)| (name.to_owned(), World::Pricing, module, false));
    files.chain(made).collect()
}

#[test]
fn every_hostile_module_comes_to_its_end() {
    let engine = engine();
    let found: BTreeMap<String, End> = modules()
        .into_iter()
        .map(|(name, world, module, spares)| (name, end(&engine, world, &module, spares)))
        .collect();
    let expected: BTreeMap<String, End> =
        ENDS.iter().map(|(name, end)| ((*name).to_owned(), *end)).collect();
    let wrong: Vec<String> = expected
        .keys()
        .chain(found.keys())
        .filter(|name| expected.get(*name) != found.get(*name))
        .map(|name| format!("{name}: {:?}, expected {:?}", found.get(name), expected.get(name)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(ENDS.len(), expected.len(), "a name stands in the table twice");
}

/// The shipped rules answer as on an engine of their own after everything hostile was on it.
#[test]
fn the_host_is_what_it_was() {
    let answers = |engine: &Engine| {
        let (pricing, threshold) = (ours(engine, World::Pricing), ours(engine, World::Threshold));
        let mut rules = RuleSet::new(pricing, threshold).expect("two worlds");
        let asked: Vec<i64> = (1..300).map(|price| price * UNIT).collect();
        (
            rules.price(&clicks(&asked)),
            rules.judge(&movements()),
            rules.take_stats().map(|(_, stats)| stats.fuel),
        )
    };
    let engine = engine();
    for (_, world, module, _) in modules() {
        end(&engine, world, &module, false);
    }
    let (quotes, verdicts, fuel) = answers(&engine);
    assert!(quotes.is_ok() && verdicts.is_ok());
    assert_eq!((quotes, verdicts, fuel), answers(&self::engine()));
}

/// Compiling cannot be interrupted, so what the limits leave a compiler to do must fit into memory.
#[test]
fn the_heaviest_modules_within_the_limits_compile_in_little_memory() {
    let engine = engine();
    for (name, module) in bombs::heavy() {
        let ended = engine.admit(World::Pricing, &module).map(drop);
        assert_eq!(ended, Ok(()), "{name}");
    }
    let status =
        std::fs::read_to_string("/proc/self/status").expect("the system says what it gives");
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak_kib: u64 = peak.expect("a peak").parse().expect("a number");
    assert!(peak_kib < HEAVY_KIB_MAX, "{peak_kib} KiB");
}
