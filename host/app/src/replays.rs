//! Replays: dead letters go the normal road once more, from their stored bytes through the same decoder, the rules in
//! force and the same checks, into one transaction with the money. A host that runs meanwhile goes on.

mod letters;
mod tally;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tollgate_domain::batch::{Batch, Missing};
use tollgate_domain::book::Book;
use tollgate_domain::dead::{Code, Rejection, Stage};
use tollgate_domain::decide::{Context, decide};
use tollgate_domain::event::DecodeLimits;
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::rule::RuleError;
use tollgate_domain::slice::Reading;
use tollgate_domain::transcript::Transcript;
use tollgate_ledger::{
    Keys, Ledger, LedgerError, LockedLetters, Place, Replay, ReplayKeys, StoredDeadLetter,
};

use crate::pipeline::writer::{read_campaigns, remember};
use crate::records;
use crate::refunds::Settler;
use crate::rules::{ActiveRules, RuleLoader};

use letters::{keys, slices};
pub use tally::Tally;

/// Attempts for the same letters before the command gives up, and the pause after a failure that may pass.
const ATTEMPTS_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// Everything that a replay needs.
pub struct ReplayParts {
    pub loader: Arc<RuleLoader>,
    pub rules: ActiveRules,
    pub settler: Settler,
    /// Topics whose letters can be replayed.
    pub ways: Vec<ReplayWay>,
    pub decode: DecodeLimits,
    pub fence: FenceLimits,
    pub rule_rows_max: usize,
    /// Which letters are meant, in words, and why.
    pub meant: String,
    pub note: String,
    /// Nothing is written.
    pub dry_run: bool,
}

/// How the letters of a topic are replayed.
pub struct ReplayWay {
    pub topic: String,
    pub reading: Reading,
    /// Opened for the group that reads the topic.
    pub ledger: Ledger,
}

/// Replays letters.
pub struct Replayer {
    parts: ReplayParts,
    /// Campaigns whose rows cannot be understood.
    unusable: HashSet<Arc<str>>,
    pub tally: Tally,
}

/// Why letters were not replayed.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl Replayer {
    #[must_use]
    pub fn new(parts: ReplayParts) -> Self {
        Self { parts, unusable: HashSet::new(), tally: Tally::default() }
    }

    /// Replays open letters, in the order of their keys. What fails again stays a dead letter.
    ///
    /// # Errors
    /// The ledger or a rule could not be asked. What was written until then stays written, and the same letters can be
    /// replayed again.
    pub async fn replay(&mut self, letters: &[StoredDeadLetter]) -> anyhow::Result<()> {
        let alike = |a: &StoredDeadLetter, b: &StoredDeadLetter| {
            (&a.topic, a.incarnation, a.is_refusal) == (&b.topic, b.incarnation, b.is_refusal)
        };
        for letters in letters.chunk_by(alike) {
            let topic = &letters[0].topic;
            let Some(way) = self.parts.ways.iter().position(|way| way.topic == *topic) else {
                self.tally.unread += letters.len() as u64;
                continue;
            };
            if letters[0].is_refusal {
                self.put_back(way, &keys(letters)).await?;
            } else {
                self.charge(way, letters).await?;
            }
        }
        Ok(())
    }

    /// Charges clicks and takes compensations in, whatever it takes.
    async fn charge(&mut self, way: usize, letters: &[StoredDeadLetter]) -> anyhow::Result<()> {
        let mut waiting: Vec<(&[StoredDeadLetter], Option<Rejection>)> = vec![(letters, None)];
        while let Some((letters, rejection)) = waiting.pop() {
            let Err(sentence) = self.charge_part(way, letters, rejection).await? else { continue };
            // The database refuses the data, so the letter is looked for by halves.
            if letters.len() == 1 {
                let rejection = Rejection::new(Code::RefusedByDatabase, Stage::Write, sentence);
                waiting.push((letters, Some(rejection)));
            } else {
                let (first, second) = letters.split_at(letters.len() / 2);
                waiting.extend([(second, None), (first, None)]);
            }
        }
        if self.parts.dry_run || self.parts.ways[way].reading == Reading::Clicks {
            return Ok(());
        }
        self.settle(way, &keys(letters)).await
    }

    /// Tries until it is written, or the database refuses the data; the sentence says why.
    async fn charge_part(
        &mut self,
        way: usize,
        letters: &[StoredDeadLetter],
        rejection: Option<Rejection>,
    ) -> anyhow::Result<Result<(), String>> {
        for _ in 0..ATTEMPTS_MAX {
            let error = match self.try_charge(way, letters, rejection.as_ref()).await {
                Ok(tally) => {
                    self.tally.add(&tally);
                    return Ok(Ok(()));
                }
                Err(error) => error,
            };
            let ledger = &mut self.parts.ways[way].ledger;
            match error {
                ReplayError::Ledger(LedgerError::Stale(_)) => {}
                ReplayError::Ledger(LedgerError::Refused { sentence, .. })
                    if rejection.is_none() =>
                {
                    return Ok(Err(sentence));
                }
                ReplayError::Ledger(LedgerError::GenerationChanged { .. }) => {
                    self.parts.rules = self.parts.loader.load_active(ledger).await?;
                }
                ReplayError::Ledger(LedgerError::Row { table: "campaigns", key, .. }) => {
                    self.unusable.insert(key.into());
                }
                ReplayError::Ledger(LedgerError::Transient { .. }) => {
                    tokio::time::sleep(PAUSE).await;
                }
                ReplayError::Ledger(error) => return Err(error.into()),
                ReplayError::Rule(_) => {
                    ledger.rollback().await?;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        bail!(
            "the dead letters from {:?} on could not be replayed in {ATTEMPTS_MAX} attempts; try again",
            letters[0].key()
        )
    }

    /// One attempt, in one transaction.
    async fn try_charge(
        &mut self,
        way: usize,
        letters: &[StoredDeadLetter],
        rejection: Option<&Rejection>,
    ) -> Result<Tally, ReplayError> {
        let parts = &mut self.parts;
        let generation = parts.rules.generation;
        let ReplayWay { reading, ledger, .. } = &mut parts.ways[way];
        let cut = |letters: &[&StoredDeadLetter]| {
            let mut slices = slices(letters, *reading, &parts.decode);
            if let (Some(rejection), Some(slice)) =
                (rejection, slices.iter_mut().find(|slice| slice.items() > 0))
            {
                slice.reject_item(0, rejection.clone(), generation);
            }
            slices
        };
        let mut book = Book { unknown: self.unusable.iter().cloned().collect(), ..Book::default() };
        let all: Vec<_> = letters.iter().collect();
        let missing = missing_rows(&Batch::new(cut(&all), &book), &mut book, ledger).await?;
        let now_us = ledger.clock_us().await?;
        let all_keys = keys(letters);
        let locked = if parts.dry_run {
            let wanted = Keys { advertisers: &missing.advertisers, days: &missing.days };
            let rows = ledger.load(wanted).await?;
            LockedLetters { open: all_keys.iter().cloned().collect(), rows }
        } else {
            let wanted = ReplayKeys {
                generation,
                letters: &all_keys,
                advertisers: &missing.advertisers,
                days: &missing.days,
            };
            ledger.lock_letters(wanted).await?
        };
        remember(&mut book, locked.rows);
        let open: Vec<_> =
            letters.iter().filter(|letter| locked.open.contains(&letter.key())).collect();
        let batch = Batch::new(cut(&open), &book);
        let Ok(resolved) = batch.resolve(&book) else {
            return Err(LedgerError::Stale("a campaign was changed".to_owned()).into());
        };
        let context = Context {
            generation,
            now_us,
            hints: &[],
            fence: &parts.fence,
            rule_rows_max: parts.rule_rows_max,
            record: parts.settler.recorder().is_some(),
        };
        let mut decision = decide(&batch, &resolved, &context, &mut parts.rules.set)?;
        let open_keys: Vec<_> = open.iter().map(|letter| letter.key()).collect();
        let gone = (letters.len() - open.len()) as u64;
        let tally = Tally { gone, ..Tally::of(&decision.plan, open.len()) };
        if parts.dry_run {
            return Ok(tally);
        }
        let transcript = decision.transcript.take().map(Transcript::from);
        decision.plan.record = records::encoded(parts.settler.recorder(), transcript.as_ref());
        let replay = Replay {
            letters: &open_keys,
            plan: &decision.plan,
            meant: &parts.meant,
            note: &parts.note,
        };
        ledger.apply_replay(&replay).await?;
        Ok(tally)
    }

    /// Lets refused compensations wait again, and settles them.
    async fn put_back(&mut self, way: usize, letters: &[Place]) -> anyhow::Result<()> {
        if self.parts.dry_run {
            self.tally.waiting += letters.len() as u64;
            return Ok(());
        }
        let (meant, note) = (&self.parts.meant, &self.parts.note);
        let ledger = &mut self.parts.ways[way].ledger;
        let mut attempts = 0;
        let waiting = loop {
            match ledger.put_back(letters, meant, note).await {
                Ok(waiting) => break waiting,
                Err(LedgerError::Stale(_) | LedgerError::Transient { .. })
                    if attempts < ATTEMPTS_MAX =>
                {
                    attempts += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let open = ledger.open_dead_letters(letters).await?.len();
        self.tally.same += open as u64;
        self.tally.gone += (letters.len() - open - waiting.len()) as u64;
        self.settle(way, &waiting).await
    }

    /// Settles those of these compensations that wait, and counts what became of them.
    async fn settle(&mut self, way: usize, letters: &[Place]) -> anyhow::Result<()> {
        let ledger = &mut self.parts.ways[way].ledger;
        for waiting in &ledger.waiting_compensations_of(letters).await? {
            self.parts.settler.settle(waiting).await.with_context(|| {
                format!("compensation {} waits; a running host settles it", waiting.id)
            })?;
        }
        let states = ledger.compensation_states_of(letters).await?;
        self.tally.add_states(&states);
        let open = ledger.open_dead_letters(letters).await?;
        // Those that could not be read are counted already.
        for letter in open.iter().filter(|letter| letter.is_refusal) {
            *self.tally.failed.entry(letter.code.clone()).or_default() += 1;
        }
        Ok(())
    }
}

/// Reads the batch's campaigns, and gives the other rows that it needs.
async fn missing_rows(
    batch: &Batch,
    book: &mut Book,
    ledger: &mut Ledger,
) -> Result<Missing, LedgerError> {
    if let Err(missing) = batch.resolve(book) {
        read_campaigns(ledger, book, &missing).await?;
    }
    Ok(batch.resolve(book).err().unwrap_or_default())
}
