//! Deciding again: recorded calls with the recorded generation's modules and parameters.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context as _;
use tollgate_domain::facts::{self, ThresholdFacts};
use tollgate_domain::fence::Nought;
use tollgate_domain::refund::RefundRule as _;
use tollgate_domain::rule::{Description, RuleError, Rules as _, Value, World};
use tollgate_domain::transcript::{ClickTranscript, Outcome, RefundTranscript, ResumeTranscript};
use tollgate_engine::{Module, Refunder, RuleSet};
use tollgate_ledger::{Generation, Ledger, Part};

use super::explanation::{Again, CallShown, ModuleShown, ReasonShown};
use crate::rules::{Acting, RuleLoader};

/// Generations held at most; compiled modules take memory.
const GENERATIONS_MAX: usize = 32;

/// Rules of generations, compiled once.
pub(super) struct Generations {
    loader: RuleLoader,
    loaded: HashMap<u64, Arc<LoadedGeneration>>,
    rules: HashMap<u64, Acting>,
    refunders: HashMap<u64, Refunder>,
}

/// A generation, and the rules of the candidate when it is a canary.
struct LoadedGeneration {
    generation: Generation,
    candidate: Vec<Part>,
}

impl Generations {
    pub(super) fn new(loader: RuleLoader) -> Self {
        Self { loader, loaded: HashMap::new(), rules: HashMap::new(), refunders: HashMap::new() }
    }

    /// The rules that price and judge clicks.
    pub(super) async fn rules(
        &mut self,
        ledger: &mut Ledger,
        number: u64,
    ) -> anyhow::Result<&mut Acting> {
        if !self.rules.contains_key(&number) {
            let generation = self.generation(ledger, number).await?;
            let rules = self.loader.load_recorded_set(ledger, &generation.generation).await?;
            self.rules.insert(number, rules);
        }
        self.rules.get_mut(&number).context("the rules were just loaded")
    }

    /// The rule that decides about compensations.
    pub(super) async fn refunder(
        &mut self,
        ledger: &mut Ledger,
        number: u64,
    ) -> anyhow::Result<&mut Refunder> {
        if !self.refunders.contains_key(&number) {
            let generation = self.generation(ledger, number).await?;
            let rule = self.loader.load_refunder_of(ledger, &generation.generation).await?;
            self.refunders.insert(number, rule);
        }
        self.refunders.get_mut(&number).context("the rule was just loaded")
    }

    /// Says which modules calls were made to.
    pub(super) fn name_modules(&self, number: u64, calls: &mut [CallShown]) {
        for call in calls {
            let world = World::named(&call.world);
            call.module = world.and_then(|world| self.module(number, world, call.candidate));
        }
    }

    /// What a rule of a generation that was loaded is, with all its parameters.
    fn module(&self, number: u64, world: World, is_candidates: bool) -> Option<ModuleShown> {
        let module = match world {
            World::Pricing => self.set(number, is_candidates)?.pricing_rule().module(),
            World::Threshold => self.set(number, is_candidates)?.threshold_rule().module(),
            World::Refund => self.refunders.get(&number)?.module(),
            World::Notification => return None,
        };
        let LoadedGeneration { generation, candidate } = self.loaded.get(&number)?.as_ref();
        let parts = if is_candidates { candidate } else { &generation.parts };
        let part = parts.iter().find(|part| part.world == world.as_str())?;
        Some(ModuleShown {
            name: module.description().name.clone(),
            version: module.description().version.clone(),
            digest: module.digest().to_owned(),
            params: params(module, &part.params),
        })
    }

    fn set(&self, number: u64, is_candidates: bool) -> Option<&RuleSet> {
        let rules = self.rules.get(&number)?;
        if is_candidates { rules.candidate().map(|one| &one.rules) } else { Some(rules.active()) }
    }

    async fn generation(
        &mut self,
        ledger: &mut Ledger,
        number: u64,
    ) -> anyhow::Result<Arc<LoadedGeneration>> {
        if let Some(known) = self.loaded.get(&number) {
            return Ok(Arc::clone(known));
        }
        if self.loaded.len() >= GENERATIONS_MAX {
            self.loaded.clear();
            self.rules.clear();
            self.refunders.clear();
        }
        let found = ledger.generation(number).await?;
        let found = found.with_context(|| format!("the ledger has no rule generation {number}"))?;
        let canary = ledger.canary_of(number).await?;
        let candidate = canary.map(|canary| canary.parts).unwrap_or_default();
        let generation = Arc::new(LoadedGeneration { generation: found, candidate });
        self.loaded.insert(number, Arc::clone(&generation));
        Ok(generation)
    }
}

/// Every declared parameter with the value in force, as an operator writes it.
fn params(module: &Module, configured: &str) -> BTreeMap<String, String> {
    let description = module.description();
    let given: BTreeMap<String, Vec<String>> = serde_json::from_str(configured).unwrap_or_default();
    let values = description.bind(&given).unwrap_or_default();
    let shown = description.params.iter().zip(values).map(|(param, value)| {
        let value = match value {
            Value::Number(number) => param.shown(number),
            Value::Text(text) => text,
            Value::Numbers(numbers) => {
                numbers.iter().map(|number| param.shown(*number)).collect::<Vec<_>>().join(", ")
            }
        };
        (param.name.clone(), value)
    });
    shown.collect()
}

/// The reason with this code, in words.
pub(super) fn reason(rule: &Description, code: Option<u16>) -> Option<ReasonShown> {
    let reason = rule.reason(code?)?;
    Some(ReasonShown { name: reason.name.clone(), help: reason.help.clone() })
}

/// Asks the pricing rule about a recorded call again.
pub(super) fn price(transcript: &ClickTranscript, call: usize, rules: &mut Acting) -> Again {
    let call = transcript.price_calls.get(call);
    let facts = call.and_then(|call| Some((call, transcript.pricing_facts(call)?)));
    facts.map_or_else(damaged, |(call, facts)| compare(&call.outcome, &rules.price(&facts)))
}

/// Asks the threshold rule about a recorded call again.
pub(super) fn judge(transcript: &ClickTranscript, call: usize, rules: &mut Acting) -> Again {
    let judged = transcript.judge_calls.get(call);
    let facts = judged.and_then(|judged| Some((judged, transcript.threshold_facts(call)?)));
    facts
        .map_or_else(damaged, |(judged, facts)| compare(&judged.call.outcome, &rules.judge(&facts)))
}

/// Asks the refund rule about a recorded call again.
pub(super) fn refund(transcript: &RefundTranscript, rule: &mut Refunder) -> Again {
    compare(&transcript.outcome, &rule.decide(&transcript.facts))
}

/// Asks the threshold rule about a recorded refund again.
pub(super) fn resume(transcript: &ResumeTranscript, rules: &mut Acting) -> Again {
    compare(&transcript.outcome, &rules.look(&transcript.facts))
}

/// Whether the candidate was asked about a click, and has not left it to the rules in force.
pub(super) fn priced_by_candidate(
    transcript: &ClickTranscript,
    call: usize,
    row: usize,
    rules: &mut Acting,
) -> bool {
    let campaign = transcript.pricing.clicks.campaign.get(row).copied().unwrap_or(u32::MAX);
    let campaign =
        facts::campaign_id(&transcript.pricing.campaigns, &transcript.pricing.texts, campaign);
    let Some(call) = transcript.price_calls.get(call) else { return false };
    rules.is_candidates(World::Pricing, campaign)
        && !(call.rows == 1
            && transcript
                .pricing_facts(call)
                .is_some_and(|facts| left_to_others(rules, |rules| drop(rules.price(&facts)))))
}

/// As `priced_by_candidate`, of the movement in this row.
pub(super) fn judged_by_candidate(
    facts: &ThresholdFacts,
    row: usize,
    nought: Nought,
    rules: &mut Acting,
) -> bool {
    let ask = |rules: &mut Acting| match nought {
        Nought::Click => drop(rules.judge(facts)),
        Nought::Look => drop(rules.look(facts)),
    };
    let day = facts.movements.campaign_day.get(row).map(|day| *day as usize);
    let campaign = day.and_then(|day| facts.days.campaign.get(day)).copied().unwrap_or(u32::MAX);
    let campaign = facts::campaign_id(&facts.campaigns, &facts.texts, campaign);
    rules.is_candidates(World::Threshold, campaign)
        && !(facts.movements.campaign_day.len() == 1 && left_to_others(rules, ask))
}

/// Whether the candidate fails at a call about one row.
fn left_to_others(rules: &mut Acting, ask: impl FnOnce(&mut Acting)) -> bool {
    rules.forget_failures();
    ask(rules);
    !rules.take_tally().campaigns.is_empty()
}

/// The worst of what calls gave.
pub(super) fn worst(calls: impl IntoIterator<Item = Again>) -> Again {
    let rank = |again: &Again| match again {
        Again::Same { .. } => 0,
        Again::NoRecord { .. } => 1,
        Again::NotPossible { .. } => 2,
        Again::Damaged { .. } => 3,
        Again::Different { .. } => 4,
    };
    let mut worst = Again::Same { calls: 0 };
    let mut count = 0;
    for again in calls {
        count += 1;
        if rank(&again) >= rank(&worst) {
            worst = again;
        }
    }
    if let Again::Same { calls } = &mut worst {
        *calls = count;
    }
    worst
}

fn damaged() -> Again {
    Again::Damaged { sentence: "the record's tables are shorter than its calls".to_owned() }
}

fn compare<A: PartialEq>(recorded: &Outcome<A>, given: &Result<A, RuleError>) -> Again {
    let different = |sentence: String| Again::Different { sentence };
    match (recorded, given) {
        (_, Err(RuleError::Host(error))) => Again::NotPossible { sentence: error.clone() },
        (Outcome::Answered(before) | Outcome::Refused(before, _), Ok(now)) if before == now => {
            Again::Same { calls: 1 }
        }
        (Outcome::Answered(_) | Outcome::Refused(..), Ok(_)) => {
            different("the rule answers something else now than is recorded".to_owned())
        }
        (Outcome::Answered(_) | Outcome::Refused(..), Err(RuleError::Fault(fault))) => {
            different(format!("the rule fails now ({fault}), an answer is recorded"))
        }
        (Outcome::Failed(failure), Ok(_)) => {
            different(format!("the rule answers now, a failure is recorded: {}", failure.sentence))
        }
        (Outcome::Failed(failure), Err(RuleError::Fault(fault))) => {
            if failure.code == fault.code.as_str() && failure.sentence == fault.sentence {
                return Again::Same { calls: 1 };
            }
            different(format!("the rule fails with {fault}, recorded is {}", failure.sentence))
        }
    }
}
