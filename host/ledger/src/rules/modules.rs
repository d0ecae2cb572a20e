//! Rule modules: publishing and reading them.

use super::{changed, lock};
use crate::Ledger;
use crate::dialect::{Cells, Dialect, change, rows};
use crate::error::{LedgerError, Result};
use crate::rule_rows::{Change, Module, ModuleRow, Published, Signature, change as kinds};
use crate::session::{Connection, ended};

/// What `module_row` reads.
const COLUMNS: &str = "digest, world, name, version, CAST(length(bytes) AS BIGINT), publisher, note, signature, signer, \
    {us:created_at}, {us:pruned_at}";

impl Ledger {
    /// Keeps a rule module; the same digest is the same module. A name belongs to one world and, once a key has signed
    /// a module of that name, to this key, until another one takes it over.
    ///
    /// # Errors
    /// `NameTaken` when the name is another world's, or another key's and `takes_over` is false.
    pub async fn publish(&mut self, module: &Module, takes_over: bool) -> Result<Published> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let done = publish(conn, module, takes_over).await;
            ended(conn, done).await
        })
    }

    /// A published module: what is known of it, and its bytes.
    ///
    /// # Errors
    /// `NotFound` when it was not published, or its bytes were taken away.
    pub async fn module(&mut self, digest: &str) -> Result<(ModuleRow, Vec<u8>)> {
        operation!(self, idle, run, |conn, _| async move {
            let sql = format!("SELECT {COLUMNS}, bytes FROM rule_modules WHERE digest = $1");
            let found = rows(conn, &sql, &[digest.into()]).await?;
            let found = found.first().map(|row| (module_row(row), row.cell(11)));
            match found {
                None => Err(LedgerError::NotFound(format!(
                    "no rule module has the digest {digest}; publish it first"
                ))),
                Some((row, _)) if row.pruned_us.is_some() => Err(LedgerError::NotFound(format!(
                    "the bytes of rule module {digest} ({} {}) were pruned; publish it again",
                    row.name, row.version
                ))),
                Some(found) => Ok(found),
            }
        })
    }

    /// The bytes of a published module.
    ///
    /// # Errors
    /// As `module`.
    pub async fn module_bytes(&mut self, digest: &str) -> Result<Vec<u8>> {
        Ok(self.module(digest).await?.1)
    }

    /// All published modules, by name, the newest of a name first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn modules(&mut self) -> Result<Vec<ModuleRow>> {
        operation!(self, idle, run, |conn, _| async move {
            let sql = format!(
                "SELECT {COLUMNS} FROM rule_modules ORDER BY name, created_at DESC, digest"
            );
            Ok(rows(conn, &sql, &[]).await?.iter().map(module_row).collect())
        })
    }
}

async fn publish<D: Dialect>(conn: &mut D, module: &Module, takes_over: bool) -> Result<Published> {
    lock(conn).await?;
    let sql = format!("SELECT {COLUMNS} FROM rule_modules WHERE digest = $1");
    let known = rows(conn, &sql, &[(&module.digest).into()]).await?;
    let known = known.first().map(module_row);
    let signature = module.signature.as_ref();
    if let Some(known) = &known
        && known.pruned_us.is_none()
        && (signature.is_none() || known.signature.as_ref() == signature)
    {
        return Ok(Published::Known);
    }
    check_name(conn, module, takes_over).await?;
    write(conn, module).await?;
    let signer = signature.map(|signature| &signature.signer);
    let detail = serde_json::json!({
        "world": module.world, "name": module.name, "version": module.version,
        "bytes": module.bytes.len(), "signer": signer, "takes_over": takes_over,
    });
    let made = Change {
        kind: kinds::PUBLISH,
        actor: &module.publisher,
        note: &module.note,
        digest: Some(&module.digest),
        detail: &detail.to_string(),
        ..Change::default()
    };
    changed(conn, &made).await?;
    Ok(if known.is_some() { Published::Completed } else { Published::New })
}

async fn write<D: Dialect>(conn: &mut D, module: &Module) -> Result<()> {
    let sql = "
INSERT INTO rule_modules (digest, world, name, version, bytes, publisher, note, signature, signer)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (digest) DO UPDATE SET bytes = excluded.bytes, pruned_at = NULL,
  signature = coalesce(excluded.signature, rule_modules.signature),
  signer = coalesce(excluded.signer, rule_modules.signer)";
    let signature = module.signature.as_ref();
    let args = [
        (&module.digest).into(),
        (&module.world).into(),
        (&module.name).into(),
        (&module.version).into(),
        module.bytes.as_slice().into(),
        (&module.publisher).into(),
        (&module.note).into(),
        signature.map(|signature| signature.signature.as_str()).into(),
        signature.map(|signature| signature.signer.as_str()).into(),
    ];
    change(conn, sql, &args).await.map(drop)
}

/// # Errors
/// `NameTaken` when somebody else has the name.
async fn check_name<D: Dialect>(conn: &mut D, module: &Module, takes_over: bool) -> Result<()> {
    let sql =
        "SELECT world, signer FROM rule_modules WHERE name = $1 ORDER BY created_at DESC, digest";
    let found = rows(conn, sql, &[(&module.name).into()]).await?;
    let (name, world) = (&module.name, &module.world);
    if let Some(other) = found.iter().map(|row| row.cell::<String>(0)).find(|other| other != world)
    {
        return Err(LedgerError::NameTaken(format!(
            "`{name}` is the name of a {other} rule, this one is of the world {world}; choose another name"
        )));
    }
    let owner = found.iter().find_map(|row| row.cell::<Option<String>>(1));
    let signer = module.signature.as_ref().map(|signature| &signature.signer);
    match owner {
        Some(owner) if signer != Some(&owner) && !(takes_over && signer.is_some()) => {
            Err(LedgerError::NameTaken(format!(
                "modules of the name `{name}` are signed with the key {owner}; sign with it, choose another name, or \
                 let another key take the name over"
            )))
        }
        _ => Ok(()),
    }
}

fn module_row(row: &impl Cells) -> ModuleRow {
    let signature: Option<String> = row.cell(7);
    let signer: Option<String> = row.cell(8);
    ModuleRow {
        digest: row.cell(0),
        world: row.cell(1),
        name: row.cell(2),
        version: row.cell(3),
        bytes: row.cell(4),
        publisher: row.cell(5),
        note: row.cell(6),
        signature: signature.zip(signer).map(|(signature, signer)| Signature { signer, signature }),
        published_us: row.cell(9),
        pruned_us: row.cell(10),
    }
}
