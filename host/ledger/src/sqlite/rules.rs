//! Rule modules and generations.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::database_error;
use crate::error::{LedgerError, Result};
use crate::rows::{Generation, Module, Part};
use crate::rules::{generation, no_such_module, sorted};
use crate::session::{Connection, ended};

/// SQLite's code for a reference to a row that does not exist.
const FOREIGN_KEY: &str = "787";

/// Keeps a module; a module with the same digest is the same module.
pub(crate) async fn publish(conn: &mut SqliteConnection, module: &Module) -> Result<()> {
    sqlx::query(
        "INSERT INTO rule_modules (digest, world, name, version, bytes) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (digest) DO NOTHING",
    )
    .bind(&module.digest)
    .bind(&module.world)
    .bind(&module.name)
    .bind(&module.version)
    .bind(&module.bytes)
    .execute(conn)
    .await
    .map_err(|error| database_error(error).during_commit())?;
    Ok(())
}

/// Makes these rules the ones in force and gives their number; the number stays when they already are.
pub(crate) async fn activate(
    conn: &mut SqliteConnection,
    parts: &[Part],
    author: &str,
    note: &str,
) -> Result<u64> {
    let parts = sorted(parts)?;
    conn.begin().await?;
    let done = activate_inside(conn, &parts, author, note).await;
    ended(conn, done).await
}

async fn activate_inside(
    conn: &mut SqliteConnection,
    parts: &[Part],
    author: &str,
    note: &str,
) -> Result<u64> {
    if let Some(active) = active(conn).await?
        && active.parts == parts
    {
        return Ok(active.number);
    }
    let number =
        write_generation(conn, parts, author, note).await.map_err(|error| match database_error(
            error,
        ) {
            LedgerError::Refused { sqlstate, .. } if sqlstate == FOREIGN_KEY => {
                no_such_module(parts)
            }
            other => other,
        })?;
    Ok(number as u64)
}

async fn write_generation(
    conn: &mut SqliteConnection,
    parts: &[Part],
    author: &str,
    note: &str,
) -> std::result::Result<i64, sqlx::Error> {
    let number: i64 = sqlx::query(
        "INSERT INTO rule_generations (number, author, note)
         SELECT coalesce(max(number), 0) + 1, ?1, ?2 FROM rule_generations RETURNING number",
    )
    .bind(author)
    .bind(note)
    .fetch_one(&mut *conn)
    .await?
    .get(0);
    for part in parts {
        sqlx::query("INSERT INTO rule_generation_parts (number, world, digest, params) VALUES (?1, ?2, ?3, ?4)")
            .bind(number)
            .bind(&part.world)
            .bind(&part.digest)
            .bind(&part.params)
            .execute(&mut *conn)
            .await?;
    }
    // From the commit on, the fence of every partition refuses plans of older generations.
    sqlx::query("UPDATE consumer_progress SET generation = ?1")
        .bind(number)
        .execute(&mut *conn)
        .await?;
    sqlx::query("UPDATE rule_activation SET number = ?1").bind(number).execute(conn).await?;
    Ok(number)
}

/// The rules in force; `None` before the first activation.
pub(crate) async fn active(conn: &mut SqliteConnection) -> Result<Option<Generation>> {
    let rows = sqlx::query(
        "SELECT g.number, g.author, g.note, p.world, p.digest, p.params
         FROM rule_activation a JOIN rule_generations g ON g.number = a.number
         LEFT JOIN rule_generation_parts p ON p.number = g.number ORDER BY p.world",
    )
    .fetch_all(conn)
    .await
    .map_err(database_error)?;
    Ok(generation(&rows))
}

pub(crate) async fn module_bytes(conn: &mut SqliteConnection, digest: &str) -> Result<Vec<u8>> {
    let row = sqlx::query("SELECT bytes FROM rule_modules WHERE digest = ?1")
        .bind(digest)
        .fetch_optional(conn)
        .await
        .map_err(database_error)?;
    row.map(|row| row.get(0)).ok_or_else(|| {
        LedgerError::NotFound(format!("no rule module has the digest {digest}; publish it first"))
    })
}
