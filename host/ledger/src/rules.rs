//! The registry of rules: modules, generations, and every change of them.
//!
//! Whoever changes anything here holds the row of the activation, so that changes come one after the other.

mod fall_back;
mod modules;
mod prune;
mod reading;

use crate::Ledger;
use crate::dialect::{Arg, Cells, Dialect, change, one, rows, texts};
use crate::error::{LedgerError, Result};
use crate::rule_rows::{Activated, Activation, Bad, Change, Generation, Part, change as kinds};
use crate::session::{Connection, ended};
use crate::trials;

/// What `generations` reads, of `rule_generations g` and `rule_generation_parts p`.
pub(crate) const COLUMNS: &str = "g.number, g.author, g.note, g.source, {us:g.created_at}, \
    g.bad_reason, g.bad_world, p.world, p.digest, p.params";

impl Ledger {
    /// Puts rules in force, as [`Ledger::activate_rules`], and gives the number of their generation.
    ///
    /// # Errors
    /// As `activate_rules`.
    pub async fn activate(&mut self, parts: &[Part], author: &str, note: &str) -> Result<u64> {
        let activation = Activation { parts, author, note, ..Activation::default() };
        Ok(self.activate_rules(&activation).await?.number)
    }

    /// Puts rules in force. Once this returns, no plan of an older generation is written anywhere. Rules that are in force
    /// already keep their number.
    ///
    /// # Errors
    /// `NotFound` when a module was not published or was pruned, `NotAllowed` when another generation is in force than
    /// expected.
    pub async fn activate_rules(&mut self, activation: &Activation<'_>) -> Result<Activated> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let done = activate(conn, activation).await;
            ended(conn, done).await
        })
    }

    /// The rules in force; `None` before the first activation.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn active(&mut self) -> Result<Option<Generation>> {
        operation!(self, idle, run, |conn, _| active(conn))
    }

    /// Number of the generation in force; 0 before the first activation.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn active_number(&mut self) -> Result<u64> {
        operation!(self, idle, run, |conn, _| async move {
            Ok(one(conn, "SELECT number FROM rule_activation", &[]).await?.cell::<i64>(0) as u64)
        })
    }
}

/// Writes a change down, in the transaction that makes it.
pub(crate) async fn changed<D: Dialect>(conn: &mut D, made: &Change<'_>) -> Result<()> {
    let sql = "INSERT INTO rule_changes (kind, actor, note, generation, previous, digest, detail)
         VALUES ($1, $2, $3, $4, $5, $6, {json:$7})";
    let number = |number: Option<u64>| Arg::Int(number.map(|number| number as i64));
    let detail = if made.detail.is_empty() { "{}" } else { made.detail };
    let args = [
        made.kind.into(),
        made.actor.into(),
        made.note.into(),
        number(made.generation),
        number(made.previous),
        made.digest.into(),
        detail.into(),
    ];
    change(conn, sql, &args).await.map(drop)
}

/// Locks the registry; nobody activates or publishes until the transaction ends.
pub(crate) async fn lock<D: Dialect>(conn: &mut D) -> Result<()> {
    one(conn, "SELECT number FROM rule_activation {lock}", &[]).await.map(drop)
}

/// In a transaction: makes these rules the ones in force.
pub(crate) async fn activate<D: Dialect>(
    conn: &mut D,
    activation: &Activation<'_>,
) -> Result<Activated> {
    let parts = sorted(activation.parts)?;
    lock(conn).await?;
    let before = active(conn).await?;
    let previous = before.as_ref().map_or(0, |before| before.number);
    if let Some(expected) = activation.expected
        && expected != previous
    {
        return Err(LedgerError::NotAllowed(format!(
            "generation {previous} is in force and no longer {expected}; look at it and try again"
        )));
    }
    // Going back to the rules that a canary was put beside ends it, whereas activating them again changes nothing.
    let ends_canary = !matches!(activation.kind, "" | kinds::ACTIVATE)
        && trials::is_canary(conn, previous).await?;
    if before.as_ref().is_some_and(|before| before.parts == parts) && !ends_canary {
        return Ok(Activated { number: previous, previous });
    }
    check_modules(conn, &parts).await?;
    let number = write_generation(conn, &parts, activation).await?;
    if let Some(world) = activation.bad_world {
        mark_bad(conn, previous, activation.note, world).await?;
    }
    let detail = serde_json::json!({
        "parts": parts, "before": before.map(|before| before.parts), "source": activation.source
    });
    let made = Change {
        kind: if activation.kind.is_empty() { kinds::ACTIVATE } else { activation.kind },
        actor: activation.author,
        note: activation.note,
        generation: Some(number),
        previous: Some(previous),
        digest: None,
        detail: &detail.to_string(),
    };
    changed(conn, &made).await?;
    Ok(Activated { number, previous })
}

pub(crate) async fn write_generation<D: Dialect>(
    conn: &mut D,
    parts: &[Part],
    activation: &Activation<'_>,
) -> Result<u64> {
    let sql = "INSERT INTO rule_generations (number, author, note, source)
               SELECT coalesce(max(number), 0) + 1, $1, $2, $3 FROM rule_generations RETURNING number";
    let Activation { author, note, source, .. } = *activation;
    let number: i64 = one(conn, sql, &[author.into(), note.into(), source.into()]).await?.cell(0);
    for part in parts {
        let sql = "INSERT INTO rule_generation_parts (number, world, digest, params) VALUES ($1, $2, $3, $4)";
        let Part { world, digest, params } = part;
        change(conn, sql, &[number.into(), world.into(), digest.into(), params.into()]).await?;
    }
    // Writers lock the rows of their partitions in this order; another one would make deadlocks of activations.
    let sql =
        "SELECT 1 FROM consumer_progress ORDER BY consumer_group, topic, kafka_partition {lock}";
    rows(conn, sql, &[]).await?;
    // From the commit on, the fence of every partition refuses plans of older generations.
    change(conn, "UPDATE consumer_progress SET generation = $1", &[number.into()]).await?;
    change(conn, "UPDATE rule_activation SET number = $1", &[number.into()]).await?;
    Ok(number as u64)
}

/// Says that nobody is to fall back to a generation.
async fn mark_bad<D: Dialect>(conn: &mut D, number: u64, reason: &str, world: &str) -> Result<()> {
    let sql = "UPDATE rule_generations SET bad_reason = $2, bad_world = $3 WHERE number = $1";
    change(conn, sql, &[(number as i64).into(), reason.into(), world.into()]).await.map(drop)
}

/// The rules in force.
pub(crate) async fn active<D: Dialect>(conn: &mut D) -> Result<Option<Generation>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM rule_activation a JOIN rule_generations g ON g.number = a.number
         LEFT JOIN rule_generation_parts p ON p.number = g.number ORDER BY p.world"
    );
    Ok(generations(&rows(conn, &sql, &[]).await?).pop())
}

/// Rows of `COLUMNS`, one for each part, the parts of a generation in a row.
pub(crate) fn generations(rows: &[impl Cells]) -> Vec<Generation> {
    let mut found: Vec<Generation> = Vec::new();
    for row in rows {
        let number = row.cell::<i64>(0) as u64;
        if found.last().is_none_or(|last| last.number != number) {
            found.push(Generation {
                number,
                parts: Vec::new(),
                author: row.cell(1),
                note: row.cell(2),
                source: row.cell(3),
                since_us: row.cell(4),
                bad: row.cell::<Option<String>>(5).map(|reason| Bad { reason, world: row.cell(6) }),
            });
        }
        let world: Option<String> = row.cell(7);
        if let (Some(world), Some(last)) = (world, found.last_mut()) {
            last.parts.push(Part { world, digest: row.cell(8), params: row.cell(9) });
        }
    }
    found
}

/// The parts in the order in which generations are compared.
///
/// # Errors
/// `NotAllowed` when a world has two rules.
pub(crate) fn sorted(parts: &[Part]) -> Result<Vec<Part>> {
    let mut parts = parts.to_vec();
    parts.sort();
    match parts.windows(2).find(|pair| pair[0].world == pair[1].world) {
        None => Ok(parts),
        Some(pair) => Err(LedgerError::NotAllowed(format!(
            "a generation has one rule of the world {}, this one has two",
            pair[0].world
        ))),
    }
}

/// # Errors
/// `NotFound` when a module was not published, or has lost its bytes.
pub(crate) async fn check_modules<D: Dialect>(conn: &mut D, parts: &[Part]) -> Result<()> {
    let digests: Vec<_> = parts.iter().map(|part| part.digest.clone()).collect();
    let sql = "SELECT digest FROM rule_modules WHERE digest IN {keys:$1} AND pruned_at IS NULL";
    let known: Vec<String> = rows(conn, sql, &[(&texts(&digests)).into()])
        .await?
        .iter()
        .map(|row| row.cell(0))
        .collect();
    match digests.iter().find(|digest| !known.contains(digest)) {
        None => Ok(()),
        Some(digest) => Err(LedgerError::NotFound(format!(
            "the rule module {digest} is not in the ledger; publish it first"
        ))),
    }
}
