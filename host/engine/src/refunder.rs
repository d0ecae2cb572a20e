//! The rule that decides about compensations.

use tollgate_domain::facts::{Decisions, RefundColumns};
use tollgate_domain::refund::RefundRule;
use tollgate_domain::rule::{Description, RuleError, World};

use crate::module::Module;
use crate::rule::{BindError, Rule};
use crate::stats::CallStats;

/// Asks a refund rule what becomes of compensations.
#[derive(Debug)]
pub struct Refunder {
    rule: Rule,
}

impl Refunder {
    /// # Errors
    /// The rule is of another world.
    pub fn new(rule: Rule) -> Result<Self, BindError> {
        Ok(Self { rule: rule.of_world(World::Refund)? })
    }

    #[must_use]
    pub fn module(&self) -> &Module {
        self.rule.module()
    }

    /// The rule itself, whose sums are to be taken.
    pub fn rule_mut(&mut self) -> &mut Rule {
        &mut self.rule
    }

    /// What calls have cost since the sums were last taken; the sums start again at zero.
    pub fn take_stats(&mut self) -> CallStats {
        self.rule.take_stats()
    }
}

impl RefundRule for Refunder {
    fn description(&self) -> &Description {
        self.rule.module().description()
    }

    fn decide(&mut self, facts: &RefundColumns) -> Result<Decisions, RuleError> {
        self.rule.decide(facts)
    }
}
