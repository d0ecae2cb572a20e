//! A candidate beside the rules in force: parting rows leaves no trace, whatever it fails at costs no click, and what is
//! compared is exact.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::facts::{CampaignColumns, ClickColumns};
use crate::rule::World;
use crate::transcript::ClickTranscript;
use crate::trial::{Candidate, Comparison, Cost, Role, Scope, Sides, Sums, Tally, compare};

const UNIT: i64 = money::MICROS_PER_UNIT;

/// The plain rules with prices of a candidate. A bid of 21 traps, 22 gives a negative price, 23 one above the candidate's
/// cap, and a movement of 26 units makes its threshold rule trap. It warns from half of a budget on.
struct Odd {
    plain: PlainRules,
    more_units: i64,
    is_faulty: bool,
}

impl Odd {
    fn new(more_units: i64, is_faulty: bool) -> Self {
        let mut plain = PlainRules::new();
        // One reason has the code of another one of the rules in force, one is the same.
        plain.pricing.reasons[0].name = "ODD".to_owned();
        plain.pricing.needs = Needs { balance: true, ..Needs::default() };
        Self { plain, more_units, is_faulty }
    }
}

impl Rules for Odd {
    fn pricing(&self) -> &Description {
        &self.plain.pricing
    }

    fn threshold(&self) -> &Description {
        &self.plain.threshold
    }

    fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError> {
        let mut quotes = Quotes::default();
        for bid in &facts.clicks.bid_micros {
            let charge = match bid / UNIT {
                21 if self.is_faulty => return Err(trap()),
                22 if self.is_faulty => -1,
                23 if self.is_faulty => 101 * UNIT,
                _ => bid + self.more_units * UNIT,
            };
            quotes.charge_micros.push(charge);
            quotes.reason.push(7);
        }
        Ok(quotes)
    }

    fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
        if self.is_faulty && facts.movements.amount_micros.contains(&(26 * UNIT)) {
            return Err(trap());
        }
        let mut verdicts = self.plain.judge(facts)?;
        let rows = verdicts.action.iter_mut().zip(&mut verdicts.level_ppm).zip(&verdicts.usage_ppm);
        for ((action, level), usage) in rows {
            if matches!(*action, action::KEEP | action::RESUME) && *usage >= 500_000 {
                (*action, *level) = (action::WARN, 500_000);
            }
        }
        Ok(verdicts)
    }
}

/// The plain rules, which allow less than nothing of whatever costs nothing.
struct Stingy(PlainRules);

impl Rules for Stingy {
    fn pricing(&self) -> &Description {
        &self.0.pricing
    }

    fn threshold(&self) -> &Description {
        &self.0.threshold
    }

    fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError> {
        self.0.price(facts)
    }

    fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
        let mut verdicts = self.0.judge(facts)?;
        for (allowed, amount) in
            verdicts.allowed_micros.iter_mut().zip(&facts.movements.amount_micros)
        {
            if *amount == 0 {
                *allowed = -5;
            }
        }
        Ok(verdicts)
    }
}

/// The facts that are there.
fn given(
    texts: &[String],
    campaigns: &CampaignColumns,
    clicks: &ClickColumns,
    counter: &[i64],
) -> Needs {
    Needs {
        cached_price: !campaigns.cached_price_micros.is_empty(),
        counter: !counter.is_empty(),
        balance: !campaigns.balance_micros.is_empty(),
        local_time: !clicks.local_minute.is_empty(),
        texts: !texts.is_empty() || !campaigns.id.is_empty() || !clicks.device.is_empty(),
        matched_charges: false,
    }
}

fn scope(campaigns: &BTreeSet<u8>) -> Scope {
    let campaigns = campaigns.iter().map(|number| format!("c{number}")).collect();
    Scope { campaigns, ..Scope::default() }
}

fn canary<R: Rules>(active: R, rules: R, scope: Scope) -> Sides<R> {
    let worlds = vec![World::Pricing, World::Threshold];
    Sides::with_candidate(
        active,
        Candidate { rules, worlds, scope, charge_max: Micros(100 * UNIT) },
    )
}

impl Toy {
    fn charge_by(
        &mut self,
        sent: &[Sent],
        rows_max: usize,
        rules: &mut dyn Rules,
    ) -> (u64, Option<ClickTranscript>) {
        let batch = Batch::new(vec![self.slice(sent)], &self.book);
        if let Err(missing) = batch.resolve(&self.book) {
            self.read(missing);
        }
        let resolved = batch.resolve(&self.book).expect("all rows were read");
        let hint = Hint { counter: self.counter, ..Hint::default() };
        let hints = vec![hint; resolved.campaigns.len()];
        let context = self.context(&hints, rows_max);
        let decision = decide(&batch, &resolved, &context, rules).unwrap();
        self.apply(&decision.plan);
        self.book.unknown.clear();
        (decision.faults, decision.transcript)
    }
}

/// Charges a log in batches; gives the ledger and the transcripts.
fn charged(
    sent: &[Sent],
    cuts: &[usize],
    rows_max: usize,
    counter: Option<Micros>,
    rules: &mut dyn Rules,
) -> (Toy, u64, Vec<ClickTranscript>) {
    let mut toy = Toy::new();
    toy.counter = counter;
    let (mut rest, mut cuts) = (sent, cuts.iter().cycle());
    let (mut faults, mut transcripts) = (0, Vec::new());
    while !rest.is_empty() {
        let (batch, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        let (more, transcript) = toy.charge_by(batch, rows_max, rules);
        faults += more;
        transcripts.extend(transcript);
        rest = later;
    }
    (toy, faults, transcripts)
}

/// A boxed set, so that both sides have one type.
struct Any(Box<dyn Rules>);

impl Rules for Any {
    fn pricing(&self) -> &Description {
        self.0.pricing()
    }

    fn threshold(&self) -> &Description {
        self.0.threshold()
    }

    fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError> {
        self.0.price(facts)
    }

    fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
        self.0.judge(facts)
    }
}

fn plain() -> Any {
    Any(Box::new(PlainRules::new()))
}

fn stingy() -> Any {
    Any(Box::new(Stingy(PlainRules::new())))
}

fn odd(more_units: i64, is_faulty: bool) -> Any {
    Any(Box::new(Odd::new(more_units, is_faulty)))
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..20_usize, 1..20)
}

fn some() -> impl Strategy<Value = BTreeSet<u8>> {
    prop::collection::btree_set(0..4_u8, 0..4)
}

proptest! {
    #[test]
    fn the_same_rules_on_both_sides_are_as_one(
        sent in log(), cuts in cuts(), rows_max in 1..40_usize, some in some(), counted: bool,
    ) {
        let counter = counted.then_some(Micros(95 * UNIT));
        let (alone, ..) = charged(&sent, &cuts, rows_max, counter, &mut PlainRules::new());
        let mut sides = canary(PlainRules::new(), PlainRules::new(), scope(&some));
        let (split, ..) = charged(&sent, &cuts, rows_max, counter, &mut sides);
        prop_assert_eq!(alone.outcome(), split.outcome());
        let mut watched = Sides::alone(PlainRules::new());
        let all = Needs { texts: true, balance: true, local_time: true, ..Needs::default() };
        watched.set_watched(Some([all, all]));
        let (watched, ..) = charged(&sent, &cuts, rows_max, counter, &mut watched);
        prop_assert_eq!(alone.outcome(), watched.outcome());
    }

    #[test]
    fn batches_of_a_canary_are_invisible(
        sent in log(), cuts in cuts(), rows_max in 1..40_usize, some in some(), counted: bool,
    ) {
        let counter = counted.then_some(Micros(95 * UNIT));
        let mut single = canary(plain(), odd(1, true), scope(&some));
        let (one, faults, _) = charged(&sent, &[1], 1_000, counter, &mut single);
        let mut batched = canary(plain(), odd(1, true), scope(&some));
        let (many, ..) = charged(&sent, &cuts, rows_max, counter, &mut batched);
        prop_assert_eq!(one.outcome(), many.outcome());
        // Whatever the candidate fails at is counted once and with it.
        prop_assert_eq!(single.take_tally(), batched.take_tally());
        // Its own failures kill no click: those that died had made the rules in force fail.
        let (alone, without, _) = charged(&sent, &[1], 1_000, counter, &mut PlainRules::new());
        let offset = |dead: &String| dead.split(' ').next().map(str::to_owned);
        let dead = |toy: &Toy| toy.dead.iter().filter_map(offset).collect::<BTreeSet<_>>();
        prop_assert!(dead(&one).is_subset(&dead(&alone)));
        prop_assert!(faults <= without);
    }

    #[test]
    fn a_shadow_counts_what_a_candidate_would_have_charged(
        sent in log(), cuts in cuts(), rows_max in 1..40_usize, some in some(), is_faulty: bool,
    ) {
        let mut rules = Sides::alone(plain());
        let candidate = odd(1, is_faulty);
        let needs = [candidate.pricing().needs, candidate.threshold().needs];
        rules.set_watched(Some(needs));
        let (toy, _, transcripts) = charged(&sent, &cuts, rows_max, None, &mut rules);
        let (scope, worlds) = (scope(&some), [World::Pricing]);
        let tally = compared(&transcripts, Role::Candidate, &scope, &worlds, rows_max, candidate);

        let mut expected: BTreeMap<String, Sums> = BTreeMap::new();
        for row in &toy.history {
            let words: Vec<_> = row.split(' ').collect();
            if !scope.contains(words[1]) {
                continue;
            }
            let charge = -words[3].parse::<i64>().unwrap() * UNIT;
            let sums = expected.entry(words[1].to_owned()).or_default();
            match charge / UNIT {
                21 if is_faulty => sums.failed += 1,
                22 | 23 if is_faulty => sums.refused += 1,
                _ => {
                    sums.clicks += 1;
                    sums.clicks_differing += 1;
                    sums.active_micros += charge;
                    sums.raised_micros += UNIT;
                }
            }
        }
        prop_assert_eq!(tally.campaigns, expected);
        prop_assert_eq!(tally.cost, Cost::default());
    }

    #[test]
    fn a_canary_is_held_against_what_the_rules_in_force_would_have_charged(
        sent in log(), cuts in cuts(), rows_max in 1..40_usize, some in some(),
    ) {
        // Bids at which neither side fails.
        let calm = |sent: Sent| Sent { bid: if sent.bid > 10 { sent.bid + 10 } else { sent.bid }, ..sent };
        let sent: Vec<_> = sent.into_iter().map(calm).collect();
        let worlds = [World::Pricing, World::Threshold];
        let mut rules = canary(plain(), odd(2, false), scope(&some));
        let (toy, _, transcripts) = charged(&sent, &cuts, rows_max, None, &mut rules);
        let scope = scope(&some);
        let tally = compared(&transcripts, Role::Active, &scope, &worlds, rows_max, plain());
        let total = tally.total();
        let charged = toy.history.iter().filter(|row| scope.contains(row.split(' ').nth(1).unwrap()));
        let charged: i64 =
            charged.map(|row| -row.split(' ').nth(3).unwrap().parse::<i64>().unwrap() * UNIT).sum();
        prop_assert_eq!(total.active_micros + total.drift_micros(), charged);
        prop_assert_eq!(total.raised_micros, 2 * UNIT * total.clicks);
        prop_assert_eq!((total.failed, total.refused, total.lowered_micros), (0, 0, 0));
    }
}

fn compared(
    transcripts: &[ClickTranscript],
    role: Role,
    scope: &Scope,
    worlds: &[World],
    rows_max: usize,
    mut other: Any,
) -> Tally {
    let fence = FenceLimits { charge_max: Micros(100 * UNIT), ..FENCE };
    let how = Comparison { role, scope, worlds, fence: &fence, rows_max };
    let mut tally = Tally::default();
    for transcript in transcripts {
        compare(transcript, &how, &mut other, &mut tally).unwrap();
    }
    tally
}

#[test]
fn each_side_is_given_what_it_asked_for_and_nothing_else() {
    let mut rules = canary(Any(Box::new(Odd::new(0, false))), odd(1, false), Scope::all());
    let needs = rules.pricing().needs;
    assert!(needs.balance && !needs.texts && rules.wants_ids());
    // Whoever watches sees everything.
    let all = Needs { texts: true, local_time: true, ..Needs::default() };
    rules.set_watched(Some([all, Needs::default()]));
    assert!(rules.pricing().needs.texts && rules.pricing().needs.balance);
    rules.set_watched(None);
    assert_eq!(rules.pricing().needs, needs);

    struct Picky(PlainRules);
    impl Rules for Picky {
        fn pricing(&self) -> &Description {
            &self.0.pricing
        }
        fn threshold(&self) -> &Description {
            &self.0.threshold
        }
        fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError> {
            let found = given(&facts.texts, &facts.campaigns, &facts.clicks, &[]);
            let asked = Needs { counter: false, ..self.0.pricing.needs };
            assert_eq!(found, asked);
            self.0.price(facts)
        }
        fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
            let counter = &facts.days.counter_micros;
            let found = given(&facts.texts, &facts.campaigns, &ClickColumns::default(), counter);
            assert_eq!(found, self.0.threshold.needs);
            self.0.judge(facts)
        }
    }
    let picky = |needs: Needs| {
        let mut plain = PlainRules::new();
        (plain.pricing.needs, plain.threshold.needs) = (needs, Needs { counter: true, ..needs });
        Picky(plain)
    };
    let texts = Needs { texts: true, ..Needs::default() };
    let time = Needs { local_time: true, balance: true, ..Needs::default() };
    let time = Picky(PlainRules {
        pricing: picky(time).0.pricing,
        ..picky(Needs { balance: true, ..Needs::default() }).0
    });
    let mut rules = canary(time, picky(texts), scope(&BTreeSet::from([0, 2])));
    let (toy, ..) = charged(&clicks("0:1 1:2 2:3 0:4"), &[4], 1_000, None, &mut rules);
    assert_eq!(toy.history.len(), 4);
}

#[test]
fn reasons_of_both_sides_are_told_apart() {
    let mut rules = canary(plain(), odd(1, false), scope(&BTreeSet::from([1])));
    let codes: Vec<_> =
        rules.pricing().reasons.iter().map(|reason| (reason.code, &*reason.name)).collect();
    assert_eq!(codes, [(7, "PLAIN"), (0, "ODD")]);
    assert_eq!(rules.threshold().reasons.len(), 1, "both have the same one");
    let (toy, ..) = charged(&clicks("0:1 1:2"), &[2], 1_000, None, &mut rules);
    let reasons: Vec<_> = toy.history.iter().map(|row| row.split(' ').nth(5).unwrap()).collect();
    assert_eq!(reasons, ["PLAIN", "ODD"]);
}

#[test]
fn the_rules_in_force_may_not_use_the_candidates_reasons() {
    struct Liar(PlainRules);
    impl Rules for Liar {
        fn pricing(&self) -> &Description {
            &self.0.pricing
        }
        fn threshold(&self) -> &Description {
            &self.0.threshold
        }
        fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError> {
            let mut quotes = self.0.price(facts)?;
            quotes.reason.fill(0);
            Ok(quotes)
        }
        fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
            self.0.judge(facts)
        }
    }
    let liar = Any(Box::new(Liar(PlainRules::new())));
    let mut rules = canary(liar, odd(1, false), scope(&BTreeSet::from([1])));
    let (toy, faults, _) = charged(&clicks("0:1 1:2"), &[2], 1_000, None, &mut rules);
    assert_eq!((toy.history.len(), faults), (1, 2));
    assert_eq!(toy.dead, ["0 FENCE_BREACH"]);
}

#[test]
fn what_a_candidate_fails_at_is_not_held_against_the_rules_in_force() {
    let mut rules = canary(plain(), odd(1, true), scope(&BTreeSet::from([0])));
    let sent = clicks("0:21 0:22 1:21 0:23 0:25 0:5 2:5");
    let (toy, faults, _) = charged(&sent, &[7], 1_000, None, &mut rules);
    let amounts: Vec<_> = toy.history.iter().map(|row| row.split(' ').nth(3).unwrap()).collect();
    assert_eq!(amounts, ["-21", "-22", "-21", "-23", "-26", "-6", "-5"]);
    assert_eq!((faults, toy.dead.len()), (0, 0));
    let sums = rules.take_tally().campaigns["c0"];
    assert_eq!((sums.failed, sums.refused), (2, 2));
}

#[test]
fn only_the_worlds_of_a_candidate_are_asked() {
    let campaigns = scope(&BTreeSet::from([0]));
    let candidate = Candidate {
        rules: odd(1, true),
        worlds: vec![World::Threshold],
        scope: campaigns,
        charge_max: Micros(100 * UNIT),
    };
    let mut rules = Sides::with_candidate(plain(), candidate);
    let (toy, ..) = charged(&clicks("0:21 0:22 0:10"), &[3], 1_000, None, &mut rules);
    let amounts: Vec<_> = toy.history.iter().map(|row| row.split(' ').nth(3).unwrap()).collect();
    assert_eq!(amounts, ["-21", "-22", "-10"]);
    assert_eq!(toy.crossings.iter().map(|c| crossing_word(c)).collect::<Vec<_>>(), ["Warn(c0)"]);
}

#[test]
fn verdicts_of_a_shadow_are_compared() {
    let mut rules = Sides::alone(plain());
    rules.set_watched(Some([Needs::default(), Needs { counter: true, ..Needs::default() }]));
    let (_, _, transcripts) = charged(&clicks("0:60 0:32 0:26 1:1"), &[1], 10, None, &mut rules);
    let worlds = [World::Threshold];
    let tally = compared(&transcripts, Role::Candidate, &Scope::all(), &worlds, 10, odd(1, true));
    let c0 = tally.campaigns["c0"];
    let expected = Sums {
        clicks: 2,
        active_micros: 92 * UNIT,
        failed: 1,
        verdicts: 2,
        verdicts_differing: 1,
        would_warn: 1,
        ..Sums::default()
    };
    assert_eq!((c0, tally.campaigns["c1"].verdicts_differing), (expected, 0));
}

fn amounts(toy: &Toy) -> Vec<&str> {
    toy.history.iter().map(|row| row.split(' ').nth(3).unwrap()).collect()
}

#[test]
fn a_click_that_costs_nothing_gives_nothing_back() {
    let sent = clicks("0:5 0:0 0:7");
    let (toy, faults, _) = charged(&sent, &[3], 1_000, None, &mut stingy());
    assert_eq!(amounts(&toy), ["-5", "-7"]);
    assert_eq!((toy.dead, faults), (vec!["1 FENCE_BREACH".to_owned()], 3));

    // What a candidate fails at costs no click.
    let mut rules = canary(plain(), stingy(), Scope::all());
    let (toy, faults, _) = charged(&sent, &[3], 1_000, None, &mut rules);
    assert_eq!(amounts(&toy), ["-5", "0", "-7"]);
    assert_eq!((toy.dead.len(), faults), (0, 0));
    assert_eq!(rules.take_tally().campaigns["c0"].refused, 1);

    let mut rules = Sides::alone(plain());
    rules.set_watched(Some([Needs::default(), Needs { counter: true, ..Needs::default() }]));
    let (_, _, transcripts) = charged(&clicks("0:5 1:0 2:7"), &[3], 1_000, None, &mut rules);
    let worlds = [World::Threshold];
    let tally = compared(&transcripts, Role::Candidate, &Scope::all(), &worlds, 10, stingy());
    let refused = ["c0", "c1", "c2"].map(|campaign| tally.campaigns[campaign].refused);
    assert_eq!((refused, tally.total().drift_micros()), ([0, 1, 0], 0));
}

#[test]
fn what_a_verdict_allows_of_a_look_means_nothing() {
    let check = |rules: &mut dyn Rules| {
        let mut toy = run("0:100");
        toy.now_us += 24 * 3_600_000_000;
        assert_eq!(toy.look_by("c0", rules), 0);
        let kinds: Vec<_> = toy.crossings.iter().map(|c| crossing_word(c)).collect();
        assert_eq!(kinds, ["Pause(c0)", "Resume(c0)"]);
    };
    check(&mut stingy());
    let mut rules = canary(plain(), stingy(), Scope::all());
    check(&mut rules);
    assert_eq!(rules.take_tally(), Tally::default());
    check(&mut canary(stingy(), plain(), scope(&BTreeSet::from([1]))));
}
