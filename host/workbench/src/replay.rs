//! Replays of clicks: what a candidate would have charged, warned and paused, before it is activated.
//!
//! Two ledgers in memory begin alike. Each decides every click through `tollgate_domain::decide` with rules of its own,
//! money fence included, as a host does, and what they charge is compared click by click. A replay has no clock: its
//! present is that of the clicks, and at every midnight of a paused campaign it is looked at afresh, as hosts do.
//!
//! Where clicks come from is a [`Portions`]: a file here, topics and the ledger in the app.

mod beginning;
mod change;
mod clock;
mod compare;
mod error;
mod feed;
mod file;
mod html;
mod plots;
mod report;
mod side;
mod source;
mod table;
mod tally;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use tollgate_domain::event::DecodeLimits;
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::rule::{Rules, World};
use tollgate_engine::{CallStats, RuleSet};

pub use beginning::{Beginning, CampaignFile, Known};
pub use change::{exceeds, percent, percent_ppm};
pub use error::ReplayError;
pub use file::FileRecords;
pub use html::html;
pub use report::{
    About, Bar, Crossed, Hour, LeftOut, Line, Moved, ReasonLine, Report, RuleAbout, RuleCost,
    SideTotals, Totals,
};
pub use source::{
    Answer, Answered, AnsweredCrossing, CampaignFacts, DayFacts, Facts, Portion, Portions,
    Progress, Record, RecordPortions, Records, Standing,
};
pub use table::table;

use compare::Comparison;
use feed::{Feeder, Work};
use side::{Outcome, Side};

/// Records of one portion that serve well; the figures do not depend on it.
pub const PORTION_RECORDS: usize = 4_096;

/// Batches that may wait for a side; enough that neither waits for the other at every batch.
const WAITING_MAX: usize = 4;

/// How clicks are read and decided.
#[derive(Clone, Debug)]
pub struct Settings {
    pub fence: FenceLimits,
    pub decode: DecodeLimits,
    /// Rows of one call of a rule at most.
    pub rule_rows_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fence: FenceLimits {
                charge_max: tollgate_domain::money::Micros(1_000_000_000_000),
                pause_floor_ppm: 500_000,
            },
            decode: DecodeLimits::default(),
            rule_rows_max: 16_384,
        }
    }
}

/// Rules that decide in a replay.
pub trait Decider: Rules + Send {
    /// What its calls have cost, by world.
    fn cost(&self) -> Vec<(World, CallStats)>;
}

impl Decider for RuleSet {
    fn cost(&self) -> Vec<(World, CallStats)> {
        vec![
            (World::Pricing, self.pricing_rule().stats()),
            (World::Threshold, self.threshold_rule().stats()),
        ]
    }
}

/// Whom the candidate is compared with.
pub enum Against {
    /// Rules that decide the same clicks.
    Rules(Box<dyn Decider>),
    /// What was really answered, as the portions say.
    Answers,
}

/// A replay, ready to begin.
pub struct Replay<'r> {
    pub settings: Settings,
    pub before: Against,
    pub after: Box<dyn Decider>,
    pub portions: Box<dyn Portions + 'r>,
    /// Says what campaigns are like where the replay begins.
    pub beginning: Box<dyn Beginning + 'r>,
    pub about: About,
}

/// Replays all clicks; calls back now and then with how far it is.
///
/// # Errors
/// The clicks or the campaigns cannot be read, or the host could not run a rule.
pub fn replay(
    replay: Replay<'_>,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Report, ReplayError> {
    let began = Instant::now();
    let Replay { settings, before, after, portions, beginning, about } = replay;
    let failure = Mutex::new(None);
    let (mut before, mut after) = match before {
        Against::Rules(rules) => {
            (Side::deciding(rules, &settings), Side::deciding(after, &settings))
        }
        Against::Answers => (Side::answered(), Side::deciding(after, &settings)),
    };
    let mut comparison = Comparison::default();
    let left_out = thread::scope(|scope| {
        let (to_before, works_before) = sync_channel(WAITING_MAX);
        let (to_after, works_after) = sync_channel(WAITING_MAX);
        let (from_before, befores) = sync_channel(WAITING_MAX);
        let (from_after, afters) = sync_channel(WAITING_MAX);
        let failure = &failure;
        let feeder = scope.spawn(move || {
            let mut feeder = Feeder::new(portions, beginning);
            noted(failure, feed(&mut feeder, &to_before, &to_after));
            feeder.left_out()
        });
        let (before, after) = (&mut before, &mut after);
        scope.spawn(move || noted(failure, work(before, &works_before, &from_before)));
        scope.spawn(move || noted(failure, work(after, &works_after, &from_after)));
        // Whatever fails closes its channels, and so everything ends.
        while let (Ok(before), Ok(after)) = (befores.recv(), afters.recv()) {
            on_progress(before.work.progress);
            comparison.take(&before, &after);
        }
        drop((befores, afters));
        feeder.join().unwrap_or_default()
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(Report::of(
            about,
            comparison,
            (before.into_tally(), after.into_tally()),
            left_out,
            began.elapsed(),
        )),
    }
}

/// What a side makes of a batch.
struct Sided {
    work: Arc<Work>,
    outcome: Outcome,
}

/// Keeps the first failure.
fn noted(failure: &Mutex<Option<ReplayError>>, result: Result<(), ReplayError>) {
    if let Err(error) = result {
        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Feeds both sides until the end, or until one of them is gone.
fn feed(
    feeder: &mut Feeder<'_>,
    to_before: &SyncSender<(Arc<Work>, Vec<Known>)>,
    to_after: &SyncSender<(Arc<Work>, Vec<Known>)>,
) -> Result<(), ReplayError> {
    while let Some((work, known)) = feeder.next()? {
        let work = Arc::new(work);
        let sent = to_before.send((Arc::clone(&work), known.clone()));
        if sent.is_err() || to_after.send((work, known)).is_err() {
            break;
        }
    }
    Ok(())
}

fn work(
    side: &mut Side,
    works: &Receiver<(Arc<Work>, Vec<Known>)>,
    out: &SyncSender<Sided>,
) -> Result<(), ReplayError> {
    tollgate_engine::Engine::prepare_thread();
    for (work, known) in works {
        let outcome = side.take(&work, known)?;
        if out.send(Sided { work, outcome }).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
