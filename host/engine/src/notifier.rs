//! The rule that words messages.

use tollgate_domain::fence::MessageLimits;
use tollgate_domain::notice::{Happening, Message};
use tollgate_domain::rule::{Description, RuleError, World};

use crate::module::Module;
use crate::rule::{BindError, Rule};
use crate::stats::CallStats;

/// Asks a notification rule which messages happenings are worth.
#[derive(Debug)]
pub struct Notifier {
    rule: Rule,
    limits: MessageLimits,
}

impl Notifier {
    /// # Errors
    /// The rule is of another world.
    pub fn new(rule: Rule) -> Result<Self, BindError> {
        let rule = rule.of_world(World::Notification)?;
        Ok(Self { rule, limits: MessageLimits::default() })
    }

    /// Messages about `happenings`, none for silence. An answer that the fence refuses is not used, not even in part,
    /// so a caller that wants to lose no message to another's fault asks again with fewer happenings.
    ///
    /// # Errors
    /// The rule trapped, ran out of fuel or memory, breached the fence, or the host could not run it.
    pub fn compose(&mut self, happenings: &[Happening]) -> Result<Vec<Message>, RuleError> {
        self.rule.compose(happenings, self.limits)
    }

    #[must_use]
    pub fn module(&self) -> &Module {
        self.rule.module()
    }

    #[must_use]
    pub fn description(&self) -> &Description {
        self.rule.module().description()
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
