//! Leaving rules that fail: back to the newest generation that nothing is held against.

use tollgate_domain::notice::{HappeningFacts, HappeningKind};

use super::{COLUMNS, activate, active, generations, lock, mark_bad};
use crate::Ledger;
use crate::dialect::{Cells, Dialect, clock_us, rows};
use crate::error::{LedgerError, Result};
use crate::outbox::tell;
use crate::rule_rows::{
    Activated, Activation, FallBack, FellBack, Generation, Part, change as kinds,
};
use crate::session::{Connection, ended};

impl Ledger {
    /// Leaves a generation that fails for the last good one, once, whoever asks, and leaves a happening about it in the
    /// same transaction. The failing one is marked as bad.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is.
    pub async fn fall_back(&mut self, wish: &FallBack<'_>) -> Result<FellBack> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let done = fall_back(conn, wish).await;
            ended(conn, done).await
        })
    }

    /// The newest generation before the one in force that has other rules and that nothing is held against.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn last_good(&mut self) -> Result<Option<Generation>> {
        operation!(self, idle, run, |conn, _| async move {
            match active(conn).await? {
                Some(active) => last_good(conn, &active).await,
                None => Ok(None),
            }
        })
    }

    /// Puts the last good rule of one world in force and leaves the other worlds as they are.
    ///
    /// # Errors
    /// `NotFound` when no earlier generation has another rule of that world which nothing is held against.
    pub async fn pause_rule(&mut self, world: &str, author: &str, note: &str) -> Result<Activated> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let done = pause_rule(conn, world, author, note).await;
            ended(conn, done).await
        })
    }
}

async fn fall_back<D: Dialect>(conn: &mut D, wish: &FallBack<'_>) -> Result<FellBack> {
    lock(conn).await?;
    let active = active(conn).await?.unwrap_or_default();
    if active.number != wish.from {
        return Ok(FellBack::Elsewhere { active: active.number });
    }
    let good = last_good(conn, &active).await?;
    let (outcome, sentence) = match &good {
        None => {
            mark_bad(conn, wish.from, wish.reason, "").await?;
            let sentence = "There is no good generation before it, so it stays in force. \
                            Activate rules that work: tollgate rule activate";
            (FellBack::NoneGood, sentence.to_owned())
        }
        Some(good) => {
            let activation = Activation {
                parts: &good.parts,
                author: wish.actor,
                note: wish.reason,
                kind: kinds::FALLBACK,
                bad_world: Some(""),
                ..Activation::default()
            };
            let Activated { number, .. } = activate(conn, &activation).await?;
            let good = good.number;
            let sentence = format!("Generation {number} with the rules of {good} is in force now.");
            (FellBack::To { number, good }, sentence)
        }
    };
    let facts = HappeningFacts {
        count: wish.faults,
        detail: format!("Generation {}: {}. {sentence}", wish.from, wish.reason),
        occurred_at_us: clock_us(conn).await?,
        generation: wish.from,
        ..HappeningFacts::default()
    };
    tell(conn, &format!("rule-fault:{}", wish.from), HappeningKind::RuleFault, &facts).await?;
    Ok(outcome)
}

async fn last_good<D: Dialect>(conn: &mut D, active: &Generation) -> Result<Option<Generation>> {
    let earlier = earlier(conn, active).await?;
    let is_bad = |parts: &[Part]| {
        parts == active.parts
            || earlier.iter().any(|other| match &other.bad {
                None => false,
                Some(bad) if bad.world.is_empty() => other.parts == parts,
                Some(bad) => part_of(other, &bad.world).is_some_and(|part| parts.contains(part)),
            })
    };
    let worlds = |generation: &Generation| {
        generation.parts.iter().map(|part| part.world.clone()).collect::<Vec<_>>()
    };
    let wanted = worlds(active);
    let good = earlier
        .iter()
        .find(|other| other.bad.is_none() && worlds(other) == wanted && !is_bad(&other.parts));
    Ok(good.cloned())
}

async fn pause_rule<D: Dialect>(
    conn: &mut D,
    world: &str,
    author: &str,
    note: &str,
) -> Result<Activated> {
    lock(conn).await?;
    let active = active(conn).await?.unwrap_or_default();
    let earlier = earlier(conn, &active).await?;
    let paused = |part: &Part| {
        part_of(&active, world) == Some(part)
            || earlier.iter().any(|other| {
                other.bad.as_ref().is_some_and(|bad| bad.world == world)
                    && part_of(other, world) == Some(part)
            })
    };
    let good = earlier
        .iter()
        .filter(|other| other.bad.is_none())
        .filter_map(|other| part_of(other, world))
        .find(|part| !paused(part));
    let Some(good) = good else {
        return Err(LedgerError::NotFound(format!(
            "there is no good {world} rule before the one in force; activate another one"
        )));
    };
    let mut parts = active.parts.clone();
    parts.retain(|part| part.world != world);
    parts.push(good.clone());
    let activation = Activation {
        parts: &parts,
        author,
        note,
        kind: kinds::PAUSE_RULE,
        bad_world: Some(world),
        ..Activation::default()
    };
    activate(conn, &activation).await
}

fn part_of<'g>(generation: &'g Generation, world: &str) -> Option<&'g Part> {
    generation.parts.iter().find(|part| part.world == world)
}

/// Generations before the one in force whose modules are all there, the newest first.
async fn earlier<D: Dialect>(conn: &mut D, active: &Generation) -> Result<Vec<Generation>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM rule_generations g LEFT JOIN rule_generation_parts p ON p.number = g.number
         WHERE g.number < $1 ORDER BY g.number DESC, p.world"
    );
    let mut found = generations(&rows(conn, &sql, &[(active.number as i64).into()]).await?);
    let sql = "SELECT digest FROM rule_modules WHERE pruned_at IS NOT NULL";
    let pruned: Vec<String> = rows(conn, sql, &[]).await?.iter().map(|row| row.cell(0)).collect();
    found.retain(|generation| generation.parts.iter().all(|part| !pruned.contains(&part.digest)));
    Ok(found)
}
