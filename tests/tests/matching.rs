//! Which charges compensations give back, and from which day, when clicks share instants around a midnight: the host, with
//! the shipped rule, and the model come to the same, whatever the compensations say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use proptest::prelude::*;
use tollgate_domain::book::{Campaign, DayKey, DayState, Status};
use tollgate_domain::compensation::{self, CompensationRow};
use tollgate_domain::day::{Day, Zone};
use tollgate_domain::event::DecodeLimits;
use tollgate_domain::money::Micros;
use tollgate_domain::refund::{
    MatchedCharge, RefundFacts, RefundLimits, day_key, decide, refund_day,
};
use tollgate_domain::rule::World;
use tollgate_domain::slice::Source;
use tollgate_engine::{Engine, EngineLimits, Refunder, Rule};
use tollgate_tests::generator::Repeat;
use tollgate_tests::generator::campaigns::{self, campaigns};
use tollgate_tests::generator::compensations::Compensation;
use tollgate_tests::harness::host::workspace;
use tollgate_tests::model::refunds::{Place, Refunds, State};
use tollgate_tests::model::{Charge, Fate, Model, Outcome, Record};

/// Two seconds before a midnight in Seoul, where the campaign is, and the days before and after it.
const BEGIN_US: i64 = 1_795_273_200_000_000 - 2 * SECOND_US;
const SECOND_US: i64 = 1_000_000;
const DAYS: [(Day, &str); 2] = [(Day(20_778), "2026-11-21"), (Day(20_779), "2026-11-22")];

/// The ledger has all clicks at once.
const LIMITS: RefundLimits = RefundLimits { settle_us: 0, expire_us: i64::MAX };

/// Second and price of a click.
type Click = (i64, i64);

#[derive(Clone, Debug)]
struct Claim {
    seconds: Vec<i64>,
    count: usize,
    claimed: i64,
    window: &'static str,
}

/// What became of a compensation: its state, the refund and its day, whether it contradicts itself, and what it gives back.
type Settled = (&'static str, i64, String, bool, BTreeSet<Place>);

fn claims() -> impl Strategy<Value = Vec<Claim>> {
    let seconds = prop::collection::vec(0..4_i64, 0..7);
    let window = prop::sample::select(vec!["5_MINUTES", "1_HOUR"]);
    let claim = (seconds, 0..4_usize, 0..4_usize, 0..900_i64, any::<bool>(), window).prop_map(
        |(seconds, more, less, claimed, is_honest, window)| {
            let count = (seconds.len() + more).saturating_sub(less);
            let honest = (count as i64 - 1).max(0) * 100;
            Claim { seconds, count, claimed: if is_honest { honest } else { claimed }, window }
        },
    );
    prop::collection::vec(claim, 1..9)
}

fn refunder() -> Refunder {
    let path = workspace().join("target/rules/refund.wasm");
    let bytes = fs::read(path).expect("run `cargo xtask rules` first");
    let engine = Engine::new(EngineLimits::default()).unwrap();
    let module = engine.admit(World::Refund, &bytes).unwrap();
    Refunder::new(Rule::bind(module, &BTreeMap::new()).unwrap()).unwrap()
}

fn record(known: &[campaigns::Campaign], at: usize, claim: &Claim) -> Record {
    let at_us = claim.seconds.iter().map(|second| BEGIN_US + second * SECOND_US).collect();
    let repeat = Repeat { campaign: 0, device: "device".into(), ad: "ad".into(), at_us };
    let found_at_us = BEGIN_US + 60 * SECOND_US;
    let event = Compensation {
        count: claim.count,
        refund_micros: claim.claimed,
        window: claim.window,
        ..Compensation::new(&repeat, known, found_at_us)
    };
    // Its place tells when it came.
    let at_ms = found_at_us / 1_000 + at as i64;
    Record { partition: 0, offset: at as i64, at_ms, payload: event.event().payload }
}

/// Every click, at its place in the log.
fn charges(known: &campaigns::Campaign, clicks: &[Click]) -> Outcome {
    let mut outcome = Outcome::default();
    for (at, (second, price)) in clicks.iter().enumerate() {
        let day = DAYS[usize::from(*second >= 2)].1;
        let charge = Charge {
            advertiser: known.advertiser.clone(),
            campaign: known.id.clone(),
            ad: "ad".into(),
            device: "device".into(),
            amount_micros: *price,
            occurred_at_us: BEGIN_US + second * SECOND_US,
            day: day.into(),
            price_source: "DATABASE",
        };
        outcome.fates.insert((0, at as i64), Fate::Charged(charge));
        *outcome.spent.entry((known.id.clone(), day.into())).or_default() += price;
    }
    outcome
}

fn modelled(refunds: &Refunds) -> Vec<Settled> {
    let settled = refunds.settled.iter().map(|(place, settled)| {
        let state = match settled.state {
            State::Refunded => "REFUNDED",
            State::Repeated => "REPEATED",
            State::Rejected(_) => "REJECTED",
            State::Expired(_) => "EXPIRED",
        };
        let its = refunds.given_back.iter().filter(|(_, by)| *by == place);
        let its = its.map(|(charge, _)| *charge).collect();
        (state, settled.refund_micros, settled.day.clone(), settled.is_contradictory, its)
    });
    settled.collect()
}

/// The host, one compensation after the other, as the ledger would have it.
struct Desk {
    campaign: Campaign,
    charges: Vec<MatchedCharge>,
    spent: BTreeMap<Day, i64>,
    paid: BTreeSet<String>,
    rule: Refunder,
}

impl Desk {
    fn new(known: &campaigns::Campaign, outcome: &Outcome, rule: Refunder) -> Self {
        let charge = |(place, fate): (&Place, &Fate)| match fate {
            Fate::Charged(charge) => Some(MatchedCharge {
                topic: "ad-events".into(),
                incarnation: 0,
                partition: place.0,
                offset: place.1,
                occurred_at_us: charge.occurred_at_us,
                day: DAYS[usize::from(charge.day == DAYS[1].1)].0,
                charged: Micros(charge.amount_micros),
                generation: 1,
                refunded: false,
            }),
            _ => None,
        };
        let mut charges: Vec<_> = outcome.fates.iter().filter_map(charge).collect();
        charges.sort_by_key(|charge| (charge.occurred_at_us, charge.offset));
        let campaign = Campaign {
            id: known.id.as_str().into(),
            advertiser: known.advertiser.as_str().into(),
            status: Status::Active,
            paused_reason: None,
            daily_budget: None,
            cpc: Micros(100),
            zone: Zone::new("Asia/Seoul").unwrap(),
            version: 1,
        };
        let mut spent = BTreeMap::new();
        for charge in &charges {
            *spent.entry(charge.day).or_default() += charge.charged.0;
        }
        Self { campaign, charges, spent, paid: BTreeSet::new(), rule }
    }

    fn settle(&mut self, record: &Record) -> Settled {
        let payload = String::from_utf8(record.payload.clone().unwrap()).unwrap();
        let event = compensation::decode(&payload, record.at_ms, &DecodeLimits::default()).unwrap();
        let identity = event.identity();
        if self.paid.contains(&identity) {
            return ("REPEATED", 0, String::new(), false, BTreeSet::new());
        }
        let named = |charge: &&MatchedCharge| event.timestamps_us.contains(&charge.occurred_at_us);
        let charges: Vec<_> = self.charges.iter().filter(named).cloned().collect();
        let day = refund_day(&event, &charges, day_key(&event, &self.campaign).day);
        let spent = self.spent.entry(day).or_default();
        let facts = RefundFacts {
            campaign: self.campaign.clone(),
            balance: Micros::ZERO,
            day: DayKey { campaign: Arc::clone(&self.campaign.id), day },
            state: DayState { spent: Micros(*spent), ..DayState::default() },
            charges,
            charged_to: None,
            retired: false,
            generation: 1,
            now_us: event.occurred_at_us,
            waited_us: 0,
        };
        let source = Source { topic: "c".into(), partition: 0, incarnation: 0, epoch: 0 };
        let row = CompensationRow {
            source: Arc::new(source),
            offset: record.offset,
            record_at_ms: record.at_ms,
            event,
            payload,
            key: None,
            headers: Vec::new(),
        };
        let plan = decide(record.offset, &row, &facts, &LIMITS, &mut self.rule).unwrap();
        *spent -= plan.refund.0;
        if plan.state == "REFUNDED" {
            self.paid.insert(identity);
        }
        let given_back: BTreeSet<Place> =
            plan.charges.iter().map(|charge| (charge.partition, charge.offset)).collect();
        for charge in &mut self.charges {
            let is_given_back = given_back.contains(&(charge.partition, charge.offset));
            assert!(!(charge.refunded && is_given_back), "given back twice: {charge:?}");
            charge.refunded |= is_given_back;
        }
        let day = plan.day.map_or(String::new(), |day| day.key.day.to_string());
        (plan.state, plan.refund.0, day, plan.mismatch.is_some(), given_back)
    }
}

#[test]
fn host_and_model_match_alike() {
    let known = campaigns(1, 1, 1);
    let model = Model::new(&known);
    let rule = std::cell::RefCell::new(Some(refunder()));
    let price = prop_oneof![3 => Just(100_i64), 1 => 1..200_i64];
    let clicks = prop::collection::vec((0..4_i64, price), 0..14);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) };
    proptest!(config, |(clicks in clicks, claims in claims())| {
        let outcome = charges(&known[0], &clicks);
        let records: Vec<_> =
            claims.iter().enumerate().map(|(at, claim)| record(&known, at, claim)).collect();
        let expected = modelled(&Refunds::judge(&model, &outcome, &records));
        let mut desk =
            Desk::new(&known[0], &outcome, rule.take().unwrap_or_else(refunder));
        let found: Vec<_> = records.iter().map(|record| desk.settle(record)).collect();
        rule.replace(Some(desk.rule));
        prop_assert_eq!(found, expected);
    });
}
