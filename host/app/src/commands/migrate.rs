//! `tollgate migrate`

use super::{load, open_ledger, runtime, unavailable};
use crate::cli::Common;
use crate::exit::Exit;

pub(super) fn execute(common: &Common) -> anyhow::Result<Exit> {
    let config = load(common, None)?;
    runtime()?.block_on(async {
        let mut ledger = open_ledger(&config).await?;
        let before = ledger.schema_version().await.map_err(|error| unavailable(&error))?;
        ledger.migrate().await.map_err(|error| unavailable(&error))?;
        let after = ledger.schema_version().await.map_err(|error| unavailable(&error))?;
        if before == after {
            println!("the ledger's tables are up to date (version {after})");
        } else {
            println!("the ledger's tables went from version {before} to version {after}");
        }
        Ok(Exit::Ok)
    })
}
