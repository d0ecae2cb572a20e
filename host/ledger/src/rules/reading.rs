//! Looking at generations and changes.

use super::{COLUMNS, generations};
use crate::Ledger;
use crate::dialect::{Cells, rows};
use crate::error::Result;
use crate::rule_rows::{ChangeRow, Generation, GenerationStart};

impl Ledger {
    /// The rules of a generation, also of one that is no longer in force.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn generation(&mut self, number: u64) -> Result<Option<Generation>> {
        operation!(self, idle, run, |conn, _| async move {
            let sql = format!(
                "SELECT {COLUMNS} FROM rule_generations g LEFT JOIN rule_generation_parts p ON p.number = g.number
                 WHERE g.number = $1 ORDER BY p.world"
            );
            Ok(generations(&rows(conn, &sql, &[(number as i64).into()]).await?).pop())
        })
    }

    /// The newest generations, the newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn generations(&mut self, limit: u32) -> Result<Vec<Generation>> {
        operation!(self, idle, run, |conn, _| async move {
            let sql = format!(
                "SELECT {COLUMNS} FROM (SELECT * FROM rule_generations ORDER BY number DESC LIMIT $1) AS g
                 LEFT JOIN rule_generation_parts p ON p.number = g.number ORDER BY g.number DESC, p.world"
            );
            Ok(generations(&rows(conn, &sql, &[i64::from(limit).into()]).await?))
        })
    }

    /// Changes of the registry, the newest first: all of them, those that made a generation, or those of a module.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn rule_changes(
        &mut self,
        generation: Option<u64>,
        digest: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ChangeRow>> {
        operation!(self, idle, run, |conn, _| async move {
            let sql = "
SELECT id, {us:changed_at}, kind, actor, note, generation, previous, digest, CAST(detail AS TEXT) FROM rule_changes
WHERE ($1 = 0 OR generation = $1) AND ($2 = '' OR digest = $2) ORDER BY id DESC LIMIT $3";
            let generation = generation.unwrap_or(0) as i64;
            let args =
                [generation.into(), digest.unwrap_or_default().into(), i64::from(limit).into()];
            Ok(rows(conn, sql, &args).await?.iter().map(change_row).collect())
        })
    }

    /// Where a generation begins in each partition.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn generation_starts(&mut self, number: u64) -> Result<Vec<GenerationStart>> {
        operation!(self, idle, run, |conn, _| async move {
            let sql = "
SELECT consumer_group, topic, incarnation, kafka_partition, first_offset FROM rule_generation_starts
WHERE generation = $1 ORDER BY consumer_group, topic, incarnation, kafka_partition";
            let found = rows(conn, sql, &[(number as i64).into()]).await?;
            let start = |row: &_| start_row(row);
            Ok(found.iter().map(start).collect())
        })
    }
}

fn change_row(row: &impl Cells) -> ChangeRow {
    let number = |at| row.cell::<Option<i64>>(at).map(|number| number as u64);
    ChangeRow {
        id: row.cell(0),
        changed_us: row.cell(1),
        kind: row.cell(2),
        actor: row.cell(3),
        note: row.cell(4),
        generation: number(5),
        previous: number(6),
        digest: row.cell(7),
        detail: row.cell(8),
    }
}

fn start_row(row: &impl Cells) -> GenerationStart {
    GenerationStart {
        group: row.cell(0),
        topic: row.cell(1),
        incarnation: row.cell(2),
        partition: row.cell(3),
        first_offset: row.cell(4),
    }
}
