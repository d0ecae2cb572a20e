//! Loading the rules of trials.

use tollgate_domain::money::Micros;
use tollgate_domain::rule::World;
use tollgate_domain::trial::{Candidate, Sides};
use tollgate_engine::RuleSet;
use tollgate_ledger::{Abort, Generation, Ledger, LedgerError, Trial};

use super::{Acting, LoadError, RuleLoader};

/// Worlds that a candidate may have a rule of.
pub const CANDIDATE_WORLDS: [World; 2] = [World::Pricing, World::Threshold];

/// The actor of what a host does on its own account.
const HOST: &str = "tollgate";

impl RuleLoader {
    /// Loads the rules of a generation that charge clicks, whether it is in force or not; of a canary both sides. What the
    /// candidate may charge is limited by the canary and by this host's own fence.
    ///
    /// # Errors
    /// The ledger did not answer, or a module is no longer admitted.
    pub async fn load_set(
        &self,
        ledger: &mut Ledger,
        generation: &Generation,
    ) -> Result<Acting, LoadError> {
        self.load_sides(ledger, generation, self.charge_max()).await
    }

    /// As `load_set`, with the limits that decisions of this generation were made under.
    ///
    /// # Errors
    /// As `load_set`.
    pub async fn load_recorded_set(
        &self,
        ledger: &mut Ledger,
        generation: &Generation,
    ) -> Result<Acting, LoadError> {
        self.load_sides(ledger, generation, Micros(i64::MAX)).await
    }

    /// Loads what a trial's charges are compared with: the candidate of a shadow, or the rules beside which a canary was
    /// put.
    ///
    /// # Errors
    /// As `load_set`.
    pub async fn load_compared(
        &self,
        ledger: &mut Ledger,
        trial: &Trial,
    ) -> Result<RuleSet, LoadError> {
        let beside = match trial.generation {
            Some(number) => ledger.generation(number).await?,
            None => ledger.active().await?.map(|active| with_candidate(&active, trial)),
        };
        self.load_rules(ledger, &beside.ok_or(LoadError::NoneActive)?).await
    }

    /// Ends a canary whose candidate cannot be loaded here, because nobody's click is to wait for it. False: the generation
    /// is no canary, or its candidate is not what is wrong with it.
    pub(super) async fn end_unusable_canary(
        &self,
        ledger: &mut Ledger,
        generation: &Generation,
    ) -> Result<bool, LedgerError> {
        let Some(canary) = ledger.canary_of(generation.number).await? else { return Ok(false) };
        let candidate = self.load_rules(ledger, &with_candidate(generation, &canary)).await;
        let Err(error) = candidate else { return Ok(false) };
        if !error.is_about_rules() || self.load_rules(ledger, generation).await.is_err() {
            return Ok(false);
        }
        let sentence = format!("a host cannot load the candidate: {error} ({})", error.code());
        let abort = Abort { actor: HOST, code: "CANARY_UNUSABLE", sentence: &sentence, faults: 1 };
        Ok(ledger.abort_by_limit(canary.id, &abort).await?.is_some())
    }

    async fn load_sides(
        &self,
        ledger: &mut Ledger,
        generation: &Generation,
        charge_max: Micros,
    ) -> Result<Acting, LoadError> {
        let active = self.load_rules(ledger, generation).await?;
        let Some(canary) = ledger.canary_of(generation.number).await? else {
            return Ok(Sides::alone(active));
        };
        let rules = self.load_rules(ledger, &with_candidate(generation, &canary)).await;
        let is_mine = |world: &World| canary.parts.iter().any(|part| part.world == world.as_str());
        let candidate = Candidate {
            rules: rules?,
            worlds: CANDIDATE_WORLDS.into_iter().filter(is_mine).collect(),
            charge_max: charge_max.min(canary.charge_max),
            scope: canary.scope,
        };
        Ok(Sides::with_candidate(active, candidate))
    }
}

/// The generation with the candidate's rules in place of its own.
fn with_candidate(generation: &Generation, trial: &Trial) -> Generation {
    let mut generation = generation.clone();
    for candidate in &trial.parts {
        generation.parts.retain(|part| part.world != candidate.world);
        generation.parts.push(candidate.clone());
    }
    generation
}
