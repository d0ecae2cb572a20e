//! What hosts have seen of a trial, added up.

use serde_json::{Value, json};
use tollgate_domain::trial::{Sums, Tally};

use crate::Ledger;
use crate::dialect::{Arg, Dialect, change};
use crate::error::Result;
use crate::session::{Connection, ended};

/// Campaigns of one statement at most, to keep its text within bounds.
const CAMPAIGNS_MAX: usize = 2_000;

impl Ledger {
    /// Adds what this host has seen since it last did so. Each sum is counted once or not at all: after an error whose
    /// outcome is unknown it must not be added again.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn add_trial_sums(&mut self, id: i64, tally: &Tally) -> Result<()> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let done = add(conn, id, tally).await;
            ended(conn, done).await
        })
    }
}

async fn add<D: Dialect>(conn: &mut D, id: i64, tally: &Tally) -> Result<()> {
    // The row of the totals first, so that hosts add one after the other.
    let total = tally.total();
    let values: Vec<_> = total.columns().into_iter().chain(tally.cost.columns()).collect();
    let args: Vec<Arg<'_>> =
        std::iter::once(id).chain(values.iter().map(|(_, value)| *value)).map(Arg::from).collect();
    let sets = values.iter().enumerate().map(|(at, (name, _))| {
        format!("{name} = {}", sum(name, &format!("CAST(${} AS BIGINT)", at + 2)))
    });
    let sql =
        format!("UPDATE trial_totals SET {} WHERE trial = $1", sets.collect::<Vec<_>>().join(", "));
    change(conn, &sql, &args).await?;
    let sql = drift();
    let campaigns: Vec<Value> = tally.campaigns.iter().map(element).collect();
    for campaigns in campaigns.chunks(CAMPAIGNS_MAX) {
        let text = json!(campaigns).to_string();
        change(conn, &sql, &[id.into(), (&text).into()]).await?;
    }
    Ok(())
}

fn element((campaign, sums): (&String, &Sums)) -> Value {
    let mut element: serde_json::Map<String, Value> =
        sums.columns().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    element.insert("campaign_id".to_owned(), campaign.as_str().into());
    Value::Object(element)
}

/// Adds the sums of campaigns, a JSON list as `$2`.
fn drift() -> String {
    let names = Sums::default().columns().map(|(name, _)| name);
    let read = names.map(|name| format!("CAST(e.value ->> '{name}' AS BIGINT)"));
    let sets = names.map(|name| {
        format!("{name} = {}", sum(&format!("trial_drift.{name}"), &format!("excluded.{name}")))
    });
    format!(
        "INSERT INTO trial_drift (trial, campaign_id, {})
         SELECT CAST($1 AS BIGINT), CAST(e.value ->> 'campaign_id' AS TEXT), {} FROM {{elements:$2}} AS e WHERE true
         ON CONFLICT (trial, campaign_id) DO UPDATE SET {}",
        names.join(", "),
        read.join(", "),
        sets.join(", ")
    )
}

/// A sum that stays at the end of 64 bits; both numbers are 0 or more.
fn sum(one: &str, more: &str) -> String {
    let most = i64::MAX;
    format!("CASE WHEN {one} > {most} - {more} THEN {most} ELSE {one} + {more} END")
}
