//! Modules that answer with what they are given, so that any bytes can be an answer, and what must hold whatever it is.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use tollgate_domain::facts::{
    CampaignColumns, CampaignDayColumns, ClickColumns, CompensationColumns, MovementColumns,
    PricingFacts, RefundColumns, ThresholdFacts,
};
use tollgate_domain::fence::{self, FenceLimits, MessageLimits, Nought};
use tollgate_domain::money::Micros;
use tollgate_domain::notice::{Happening, HappeningFacts, HappeningKind};
use tollgate_domain::refund::RefundRule;
use tollgate_domain::rule::{Description, PriceSource, RuleError, Rules, World};
use tollgate_engine::{Engine, EngineLimits, Module, Notifier, Refunder, Rule, RuleSet};

use super::corpus::with_reasons;
use super::{GOOD, Guest, encode, shipped};

/// Rows that are asked about.
const ROWS: usize = 4;
/// Words that an answer is made of.
const WORDS: usize = 96;
const CHARGE_MAX: i64 = 1_000_000;
const FENCE: FenceLimits = FenceLimits { charge_max: Micros(CHARGE_MAX), pause_floor_ppm: 500_000 };
/// Where the description lies in a guest, and how much of its memory is replaced.
const DESCRIPTION_AT: u32 = 1_024;
const DESCRIPTION_BYTES: usize = 512;

/// The engine of these tests: as much fuel as a call of milliseconds uses.
pub static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let limits = EngineLimits {
        fuel_base_max: 1_000_000,
        fuel_per_item_max: 10_000,
        ..EngineLimits::default()
    };
    Engine::new(limits).expect("the engine starts")
});

/// Admits `data`, of which the first byte chooses the world, and asks whatever is admitted.
pub fn admission(data: &[u8]) {
    let Some((world, bytes)) = data.split_first() else { return };
    let world = World::ALL[usize::from(*world) % World::ALL.len()];
    match ENGINE.admit(world, bytes) {
        Ok(module) => ask(module, &[]),
        Err(error) => {
            let sentence = error.to_string();
            assert!(error.code() != "HOST_FAILURE", "the host is blamed: {sentence}");
            assert!(sentence.len() < 4_096, "a sentence of {} bytes", sentence.len());
        }
    }
}

/// Reads `data` as the memory of a description, or as the memory of an answer in one of the worlds.
pub fn conversion(data: &[u8]) {
    let Some((what, bytes)) = data.split_first() else { return };
    match World::ALL.get(usize::from(*what) % (World::ALL.len() + 1)) {
        Some(world) => ask(ECHOES[world].clone(), bytes),
        None => describe(bytes),
    }
}

/// What `conversion` makes of good bytes, to begin with.
pub fn conversion_seeds() -> Vec<Vec<u8>> {
    let header = |lengths: &[(u32, u32)]| {
        let words = lengths.iter().flat_map(|(at, rows)| [*at, *rows]);
        words.flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
    };
    let rows = ROWS as u32;
    let quotes = [header(&[(16, rows), (48, rows)]), vec![0; 32], [1, 0].repeat(ROWS)].concat();
    let verdicts = header(&[(40, rows), (48, rows), (64, rows), (80, rows), (112, rows)]);
    let verdicts = [verdicts, vec![0; 72], [1, 0].repeat(ROWS)].concat();
    let decisions = header(&[(24, rows), (32, rows), (64, rows)]);
    let decisions = [decisions, vec![0; 40], [1, 0].repeat(ROWS)].concat();
    let message = [0_u32, 0, 1_100, 4, 1, 1_100, 4, 1_100, 4, 0];
    let message: Vec<u8> = message.into_iter().flat_map(u32::to_le_bytes).collect();
    let messages = [header(&[(8, 1)]), message].concat();
    let good = encode(&Guest::pricing(GOOD).description, DESCRIPTION_AT);
    let seeds = [quotes, verdicts, decisions, messages, good];
    seeds.into_iter().zip(0..).map(|(seed, what)| [vec![what], seed].concat()).collect()
}

/// Asks a module twice about facts that carry `answer`, and holds it to the fence.
pub fn ask(module: Module, answer: &[u8]) {
    let first = answered(module.clone(), answer);
    assert_eq!(first, answered(module, answer), "the same facts have another answer");
    if let Err(RuleError::Host(sentence)) = first {
        panic!("the host is blamed: {sentence}");
    }
}

fn answered(module: Module, answer: &[u8]) -> Result<String, RuleError> {
    let rule: Description = module.description().clone();
    let words = words(answer);
    match module.world() {
        World::Pricing => {
            let facts = clicks(&words);
            let quotes = pair(module).price(&facts)?;
            fence::check_quotes(&facts, &quotes, &rule, &FENCE)?;
            for row in 0..ROWS {
                let charge = quotes.charge_micros[row];
                assert!((0..=CHARGE_MAX).contains(&charge), "{charge}");
                let source = rule.reasons.iter().find(|it| it.code == quotes.reason[row]).unwrap();
                let campaigns = &facts.campaigns;
                match source.source {
                    PriceSource::Stored => assert_eq!(campaigns.stored_price_micros[row], charge),
                    PriceSource::Cached => assert_eq!(campaigns.cached_price_micros[row], charge),
                    PriceSource::Computed => {}
                    PriceSource::None => panic!("a price of no source"),
                }
            }
            Ok(format!("{quotes:?}"))
        }
        World::Threshold => {
            let facts = movements(&words);
            let verdicts = pair(module).judge(&facts)?;
            fence::check_verdicts(&facts, &verdicts, &rule, Nought::Click)?;
            for row in 0..ROWS {
                let (action, allowed) = (verdicts.action[row], verdicts.allowed_micros[row]);
                assert!(action < 4 && (0..=1_000).contains(&allowed), "{action} {allowed}");
                assert!(!matches!(action, 1 | 2) || verdicts.level_ppm[row] > 0);
            }
            Ok(format!("{verdicts:?}"))
        }
        World::Refund => {
            let facts = compensations(&words);
            let mut refunder = Refunder::new(bind(module)).expect("the world is right");
            let decisions = refunder.decide(&facts)?;
            fence::check_decisions(&facts, &decisions, &rule)?;
            let given: i64 = decisions.refund_micros.iter().sum();
            assert!((0..=1_000).contains(&given), "{given}");
            Ok(format!("{decisions:?}"))
        }
        World::Notification => {
            let mut notifier = Notifier::new(bind(module)).expect("the world is right");
            let messages = notifier.compose(&happenings(&words))?;
            let most = MessageLimits::default();
            fence::check_messages(ROWS, &messages, most)?;
            assert!(messages.len() <= ROWS * most.messages_max);
            Ok(format!("{messages:?}"))
        }
    }
}

fn bind(module: Module) -> Rule {
    Rule::bind(module, &BTreeMap::new()).expect("defaults within bounds bind")
}

/// The module, and a shipped one for the other half of a set.
fn pair(module: Module) -> RuleSet {
    static SHIPPED: LazyLock<[Module; 2]> = LazyLock::new(|| {
        [World::Pricing, World::Threshold].map(|world| {
            ENGINE.admit(world, &shipped(world)).expect("the shipped rule is admitted")
        })
    });
    let [pricing, threshold] = SHIPPED.clone().map(bind);
    match module.world() {
        World::Pricing => RuleSet::new(bind(module), threshold),
        _ => RuleSet::new(pricing, bind(module)),
    }
    .expect("the worlds are right")
}

/// Modules that answer with the bytes they are given.
static ECHOES: LazyLock<BTreeMap<World, Module>> = LazyLock::new(|| {
    let echo = |guest: Guest| with_reasons(guest).build();
    let echoes = [
        (World::Pricing, echo(Guest::pricing(&relative(32, 2)))),
        (World::Threshold, echo(Guest::threshold(&relative(72, 5)))),
        (World::Refund, echo(Guest::refund(&relative(72, 3)))),
        (World::Notification, echo(Guest::notification(GATHER))),
    ];
    let admitted = echoes.map(|(world, bytes)| {
        (world, ENGINE.admit(world, &bytes).unwrap_or_else(|error| panic!("{world}: {error}")))
    });
    admitted.into()
});

/// Answers with what lies where a column of the arguments begins; `lists` addresses there are relative to it.
fn relative(column: u32, lists: u32) -> String {
    let list = |at: u32| {
        let at = at * 8;
        format!(
            "(i32.store offset={at} (local.get $rows)
                (i32.add (local.get $rows) (i32.load offset={at} (local.get $rows))))"
        )
    };
    let lists: String = (0..lists).map(list).collect();
    format!(
        "(local.set $rows (i32.load offset={column} (local.get $arguments))) {lists} (local.get $rows)"
    )
}

/// Puts the numbers of the happenings together and answers with them, the list's address relative to them.
const GATHER: &str = "
    (local.set $params (i32.const 65536))
    (loop $next
      (memory.copy (local.get $params) (i32.add (local.get $happenings) (i32.const 32)) (i32.const 24))
      (local.set $params (i32.add (local.get $params) (i32.const 24)))
      (local.set $happenings (i32.add (local.get $happenings) (i32.const 96)))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
      (br_if $next (local.get $rows)))
    (i32.store (i32.const 65536) (i32.add (i32.const 65536) (i32.load (i32.const 65536))))
    (i32.const 65536)";

/// Admits a module whose description is these bytes.
fn describe(bytes: &[u8]) {
    static TEMPLATE: LazyLock<(Vec<u8>, usize)> = LazyLock::new(|| {
        let mut guest = Guest::pricing(GOOD);
        guest.description.reasons[0].help = "\u{1}".repeat(DESCRIPTION_BYTES);
        let (module, description) = (guest.build(), encode(&guest.description, DESCRIPTION_AT));
        let mut places = module.windows(description.len());
        let at = places.position(|place| *place == description).expect("the description is in it");
        (module, at)
    });
    let (mut module, at) = TEMPLATE.clone();
    let bytes = &bytes[..bytes.len().min(DESCRIPTION_BYTES)];
    module[at..at + bytes.len()].copy_from_slice(bytes);
    match ENGINE.admit(World::Pricing, &module) {
        Ok(module) => {
            let description = module.description();
            assert!(description.params.len() <= 64 && description.reasons.len() <= 64);
            assert!(description.name.len() <= 64 && !description.reasons.is_empty());
            ask(module, &[]);
        }
        Err(error) => assert!(
            ["BAD_DESCRIPTION", "FUEL_TOO_HIGH"].contains(&error.code()),
            "{}: {error}",
            error.code()
        ),
    }
}

/// The answer as numbers of three columns that follow each other in the guest's memory.
fn words(answer: &[u8]) -> [Vec<i64>; 3] {
    let mut bytes = answer.to_vec();
    bytes.resize(WORDS * 8, 0);
    let words: Vec<i64> = bytes
        .chunks_exact(8)
        .map(|word| i64::from_le_bytes(word.try_into().expect("eight bytes")))
        .collect();
    let third = WORDS / 3;
    [0, 1, 2].map(|column| words[column * third..(column + 1) * third].to_vec())
}

fn clicks([stored, cached, balance]: &[Vec<i64>; 3]) -> PricingFacts {
    PricingFacts {
        texts: Vec::new(),
        campaigns: CampaignColumns {
            stored_price_micros: stored.clone(),
            cached_price_micros: cached.clone(),
            balance_micros: balance.clone(),
            ..CampaignColumns::default()
        },
        clicks: ClickColumns {
            campaign: (0..ROWS as u32).collect(),
            occurred_at_ms: vec![0; ROWS],
            bid_micros: vec![-1; ROWS],
            actual_micros: vec![-1; ROWS],
            placement: vec![0; ROWS],
            ..ClickColumns::default()
        },
    }
}

fn days([budget, spent, counter]: &[Vec<i64>; 3]) -> CampaignDayColumns {
    CampaignDayColumns {
        campaign: vec![0; ROWS],
        day: vec![20_000; ROWS],
        daily_budget_micros: budget.clone(),
        spent_micros: spent.clone(),
        counter_micros: counter.clone(),
        warned_ppm: vec![0; ROWS],
        pause_from_micros: vec![0; ROWS],
        state: vec![4; ROWS],
    }
}

fn movements(words: &[Vec<i64>; 3]) -> ThresholdFacts {
    ThresholdFacts {
        texts: Vec::new(),
        campaigns: CampaignColumns::default(),
        days: days(words),
        movements: MovementColumns {
            campaign_day: vec![0; ROWS],
            amount_micros: vec![1_000; ROWS],
        },
    }
}

fn compensations(words: &[Vec<i64>; 3]) -> RefundColumns {
    RefundColumns {
        days: days(words),
        compensations: CompensationColumns {
            campaign_day: vec![0; ROWS],
            claimed_micros: vec![500; ROWS],
            refundable_micros: vec![1_000; ROWS],
            ..CompensationColumns::default()
        },
        ..RefundColumns::default()
    }
}

fn happenings(words: &[Vec<i64>; 3]) -> Vec<Happening> {
    let words = words.concat();
    let happening = |row: &[i64]| Happening {
        kind: HappeningKind::Warning,
        facts: HappeningFacts {
            spent_micros: Some(row[0]),
            daily_budget_micros: Some(row[1]),
            count: row[2].cast_unsigned(),
            ..HappeningFacts::default()
        },
        local_minute: 0,
        weekday: 1,
        sent_today: 0,
        minutes_since_last: None,
    };
    words.chunks_exact(3).take(ROWS).map(happening).collect()
}
