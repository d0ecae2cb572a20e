//! The thread that asks whoever has not charged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::rule::{Rules as _, World};
use tollgate_domain::transcript::ClickTranscript;
use tollgate_domain::trial::{Comparison, Cost, Role, Tally, compare};
use tollgate_engine::{CallStats, Engine, RuleSet};
use tollgate_ledger::TrialKind;

use super::{Running, Seen};

/// Decisions that wait to be compared; what comes then is left out.
const WAITING_MAX: usize = 32;

/// How often an end is looked for.
const END_LOOK: Duration = Duration::from_millis(20);

/// Compares until its trial is over.
pub(super) struct Comparer {
    thread: JoinHandle<()>,
}

struct Work {
    seen: Arc<Seen>,
    rules: RuleSet,
    fence: FenceLimits,
    rows_max: usize,
    worlds: Vec<World>,
    role: Role,
}

impl Comparer {
    pub(super) fn start(
        seen: &Arc<Seen>,
        rules: RuleSet,
        fence: FenceLimits,
        rows_max: usize,
    ) -> std::io::Result<(Self, Running)> {
        let (queue, decisions) = crossbeam_channel::bounded(WAITING_MAX);
        let needs = [rules.pricing().needs, rules.threshold().needs];
        let is_mine =
            |world: &World| seen.trial.parts.iter().any(|part| part.world == world.as_str());
        let work = Work {
            seen: Arc::clone(seen),
            rules,
            fence,
            rows_max,
            worlds: World::ALL.into_iter().filter(is_mine).collect(),
            role: match seen.trial.kind {
                TrialKind::Shadow => Role::Candidate,
                TrialKind::Canary => Role::Active,
            },
        };
        let body = move || {
            Engine::prepare_thread();
            work.run(&decisions);
        };
        let thread = std::thread::Builder::new().name("trial".into()).spawn(body)?;
        Ok((Self { thread }, Running { seen: Arc::clone(seen), queue, needs }))
    }

    /// Whether it has compared everything that was left.
    pub(super) async fn ended_within(&self, limit: Duration) -> bool {
        let begin = Instant::now();
        while !self.thread.is_finished() {
            if begin.elapsed() > limit {
                return false;
            }
            tokio::time::sleep(END_LOOK).await;
        }
        true
    }
}

impl Work {
    fn run(mut self, decisions: &Receiver<Box<ClickTranscript>>) {
        loop {
            match decisions.recv_timeout(END_LOOK) {
                Ok(transcript) => self.compare(&transcript),
                Err(RecvTimeoutError::Timeout) if !self.seen.is_over.load(Ordering::Acquire) => {}
                Err(_) => return,
            }
        }
    }

    fn compare(&mut self, transcript: &ClickTranscript) {
        let how = Comparison {
            role: self.role,
            scope: &self.seen.trial.scope,
            worlds: &self.worlds,
            fence: &self.fence,
            rows_max: self.rows_max,
        };
        let mut tally = Tally::default();
        let compared = compare(transcript, &how, &mut self.rules, &mut tally);
        // Of a canary the candidate's own cost counts, which the writer pays.
        let stats = self.rules.take_stats();
        if self.role == Role::Candidate {
            tally.cost.add(&cost(&stats));
        }
        if let Err(error) = compared {
            tracing::warn!(%error, "a batch cannot be compared");
            self.seen.skip(transcript.clicks());
        }
        self.seen.add(tally);
    }
}

/// What calls have cost, as a trial counts it.
pub(super) fn cost(stats: &[(World, CallStats)]) -> Cost {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut cost = Cost::default();
    for (_, stats) in stats {
        let CallStats { calls, rows, fuel, ns, .. } = *stats;
        cost.add(&Cost {
            calls: number(calls),
            rows: number(rows),
            fuel: number(fuel),
            ns: number(ns),
            ..Cost::default()
        });
    }
    cost
}
