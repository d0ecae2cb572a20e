//! What the writer does for a trial: facts that a shadow wants, and records of decisions to compare. Without a trial it
//! looks at one number.

use std::sync::Arc;

use tollgate_domain::transcript::ClickTranscript;

use crate::rules::ActiveRules;
use crate::trials::{Running, Trials};

/// Feeds the trial that runs.
pub struct TrialFeed {
    trials: Arc<Trials>,
    running: Option<Arc<Running>>,
    /// What `running` was last looked at for: the turn of the trials, and the generation.
    seen: (u64, u64),
}

impl TrialFeed {
    #[must_use]
    pub fn new(trials: &Arc<Trials>) -> Self {
        Self { trials: Arc::clone(trials), running: None, seen: (0, 0) }
    }

    /// Before a batch is decided by these rules. True: its record is wanted.
    pub(super) fn begin(&mut self, rules: &mut ActiveRules) -> bool {
        let now = (self.trials.turn(), rules.generation);
        if self.seen != now {
            if self.seen.1 != now.1 {
                self.trials.look();
            }
            self.seen = now;
            self.running = self.trials.running();
            rules.set.set_watched(self.running.as_ref().and_then(|running| running.watched()));
        }
        self.running.is_some()
    }

    /// After a batch was written.
    pub(super) fn committed(&self, rules: &mut ActiveRules, transcript: Option<ClickTranscript>) {
        self.trials.note(rules.generation, &mut rules.set);
        if let (Some(running), Some(transcript)) = (&self.running, transcript) {
            running.compare(rules.generation, Box::new(transcript));
        }
    }

    /// After a batch was decided and not written.
    pub(super) fn dropped(&self, rules: &mut ActiveRules) {
        self.trials.note_dropped(rules.generation, &mut rules.set);
    }
}
