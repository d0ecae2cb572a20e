//! The transcript says what rules were really given and what they really answered, about every click.

use super::*;
use crate::transcript::{Call, ClickTranscript, Outcome};

/// Writes down every call as it happens.
#[derive(Default)]
struct Witness {
    priced: Vec<(PricingFacts, Result<Quotes, RuleError>)>,
    judged: Vec<(ThresholdFacts, Result<Verdicts, RuleError>)>,
}

struct Watched<'w> {
    rules: PlainRules,
    witness: &'w mut Witness,
}

impl Rules for Watched<'_> {
    fn pricing(&self) -> &Description {
        self.rules.pricing()
    }

    fn threshold(&self) -> &Description {
        self.rules.threshold()
    }

    fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError> {
        let answer = self.rules.price(facts);
        self.witness.priced.push((facts.clone(), answer.clone()));
        answer
    }

    fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
        let answer = self.rules.judge(facts);
        self.witness.judged.push((facts.clone(), answer.clone()));
        answer
    }
}

/// Transcript, what was witnessed, places of the clicks in order, and offsets with their amounts.
type Decided = (Option<ClickTranscript>, Witness, Vec<(i32, i64)>, Vec<(i64, Micros)>);

impl Toy {
    /// Charges one batch of two partitions; gives its transcript, what was witnessed, and the rest of the outcome.
    fn charge_watched(&mut self, sent: &[Sent], rows_max: usize) -> Decided {
        let (left, right) = sent.split_at(sent.len() / 2);
        let mut slices = vec![self.slice(left), self.slice(right)];
        let other = Source { partition: 1, ..(*slices[1].source).clone() };
        slices[1].source = Arc::new(other);
        let batch = Batch::new(slices, &self.book);
        if let Err(missing) = batch.resolve(&self.book) {
            self.read(missing);
        }
        let resolved = batch.resolve(&self.book).expect("all rows were read");
        let places = resolved.clicks.iter().map(|click| {
            let (slice, click) = batch.click(click.at);
            (slice.source.partition, click.offset)
        });
        let places: Vec<_> = places.collect();
        let hint = Hint { counter: self.counter, ..Hint::default() };
        let hints = vec![hint; resolved.campaigns.len()];
        let context = self.context(&hints, rows_max);
        let mut witness = Witness::default();
        let mut rules = Watched { rules: PlainRules::new(), witness: &mut witness };
        let decision = decide(&batch, &resolved, &context, &mut rules).unwrap();
        let charged = decision.plan.history.iter();
        let charged = charged.map(|row| (row.source.partition.into(), row.offset, row.amount));
        let charged = charged.map(|(partition, offset, amount): (i64, i64, Micros)| {
            (partition << 32 | offset, amount)
        });
        let charged = charged.collect();
        (decision.transcript, witness, places, charged)
    }
}

fn agrees<A: PartialEq>(call: &Call<A>, answer: &Result<A, RuleError>) -> bool {
    match (&call.outcome, answer) {
        (Outcome::Answered(kept) | Outcome::Refused(kept, _), Ok(given)) => kept == given,
        (Outcome::Failed(kept), Err(RuleError::Fault(fault))) => {
            kept.code == fault.code.as_str() && kept.sentence == fault.sentence
        }
        _ => false,
    }
}

/// Rows that a call settled: those it answered for, and the one that is left when halving ends.
fn settled<A: Clone>(call: &Call<A>) -> std::ops::Range<usize> {
    let is_settled = matches!(call.outcome, Outcome::Answered(_)) || call.rows == 1;
    if is_settled { call.range() } else { 0..0 }
}

proptest! {
    #[test]
    fn a_transcript_is_what_was_witnessed(sent in log(), rows_max in 1..40_usize, counted: bool) {
        let mut toy = Toy::new();
        toy.counter = counted.then_some(Micros(95_000_000));
        let (transcript, witness, places, charged) = toy.charge_watched(&sent, rows_max);
        prop_assert_eq!(transcript.is_none(), places.is_empty());
        let transcript = transcript.unwrap_or_default();
        prop_assert_eq!(transcript.clicks(), places.len());
        for (row, (partition, offset)) in places.iter().enumerate() {
            let found = transcript.row_of(("ad-events", 0, *partition), *offset);
            prop_assert_eq!(found, Some(row));
            prop_assert_eq!(transcript.row_of(("ad-events", 1, *partition), *offset), None);
        }

        prop_assert_eq!(transcript.price_calls.len(), witness.priced.len());
        for (call, (facts, answer)) in transcript.price_calls.iter().zip(&witness.priced) {
            let kept = transcript.pricing_facts(call);
            prop_assert_eq!(kept.as_ref(), Some(facts));
            prop_assert!(agrees(call, answer));
        }
        prop_assert_eq!(transcript.judge_calls.len(), witness.judged.len());
        for (at, (facts, answer)) in witness.judged.iter().enumerate() {
            let kept = transcript.threshold_facts(at);
            prop_assert_eq!(kept.as_ref(), Some(facts));
            prop_assert!(agrees(&transcript.judge_calls[at].call, answer));
        }

        // Every click is settled once by each rule that came to see it, and costs what both have said.
        let priced: Vec<_> = transcript.price_calls.iter().flat_map(settled).collect();
        prop_assert_eq!(priced, (0..places.len()).collect::<Vec<_>>());
        let calls = transcript.judge_calls.iter().map(|judged| &judged.call);
        let judged: Vec<_> = calls.clone().flat_map(settled).collect();
        prop_assert_eq!(judged, (0..transcript.priced.len()).collect::<Vec<_>>());
        let mut amounts = Vec::new();
        for call in calls {
            let Outcome::Answered(verdicts) = &call.outcome else { continue };
            for (at, row) in call.range().enumerate() {
                let (partition, offset) = places[transcript.priced[row] as usize];
                let quoted = transcript.threshold.movements.amount_micros[row];
                let charge = quoted.min(verdicts.allowed_micros[at]);
                amounts.push((i64::from(partition) << 32 | offset, Micros(-charge)));
            }
        }
        prop_assert_eq!(amounts, charged);
    }
}

#[test]
fn nothing_is_collected_unless_it_is_wanted() {
    let mut toy = Toy::new();
    let batch = Batch::new(vec![toy.slice(&clicks("0:10"))], &toy.book);
    if let Err(missing) = batch.resolve(&toy.book) {
        toy.read(missing);
    }
    let resolved = batch.resolve(&toy.book).expect("all rows were read");
    for record in [true, false] {
        let context = Context { record, ..toy.context(&[], 1_000) };
        let decision = decide(&batch, &resolved, &context, &mut PlainRules::new()).unwrap();
        assert_eq!(decision.transcript.is_some(), record);
    }
}
