//! What a statement of account is made of, read on one snapshot.

use std::collections::BTreeMap;

use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;

use crate::Ledger;
use crate::dialect::{Cells, Dialect, one, rows};
use crate::error::{LedgerError, Result, too_much};
use crate::session::Connection;

/// The figures of one advertiser around one budget day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementRows {
    /// As they are now.
    pub balance: Micros,
    pub opening: Micros,
    /// Net spends of budget days before, on and after the day, as the campaigns' days have them. What a campaign spent for
    /// another advertiser, or one that was deleted for this one, is as history has it.
    pub spent_before: Micros,
    pub spent: Micros,
    pub spent_after: Micros,
    /// The last budget day with a spend, if there is one.
    pub last_day: Option<Day>,
    /// Changes of the opening balance since `since_us`, by time.
    pub adjustments: Vec<Adjustment>,
    /// By campaign, from history.
    pub lines: Vec<StatementLine>,
}

/// A top-up or a correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    pub at_us: i64,
    /// Signed.
    pub amount: Micros,
}

/// What history has about a campaign on the day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementLine {
    pub campaign: String,
    pub clicks: i64,
    /// Positive.
    pub charged: Micros,
    pub refunds: i64,
    /// Positive.
    pub refunded: Micros,
}

impl Ledger {
    /// The figures of an advertiser around a budget day; `None` when the ledger has no such advertiser.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn statement(
        &mut self,
        advertiser: &str,
        day: Day,
        since_us: i64,
    ) -> Result<Option<StatementRows>> {
        operation!(self, idle, run_long, |conn, _| async move {
            conn.begin_snapshot().await?;
            let found = statement(conn, advertiser, day, since_us).await;
            if !found.as_ref().is_err_and(LedgerError::is_outage) {
                conn.roll_back().await?;
            }
            found
        })
    }
}

const BALANCE: &str =
    "SELECT balance_micros, opening_micros FROM advertiser_balances WHERE advertiser_id = $1";

const SPENDS: &str = "
SELECT CAST(coalesce(sum(CASE WHEN d.day < {day:$2} THEN d.spent_micros ELSE 0 END), 0) AS BIGINT),
  CAST(coalesce(sum(CASE WHEN d.day = {day:$2} THEN d.spent_micros ELSE 0 END), 0) AS BIGINT),
  CAST(coalesce(sum(CASE WHEN d.day > {day:$2} THEN d.spent_micros ELSE 0 END), 0) AS BIGINT), {days:max(d.day)}
FROM campaigns c JOIN campaign_daily_spend d ON d.campaign_id = c.campaign_id WHERE c.advertiser_id = $1";

/// What history has, before, on and after the day, of campaigns that are no longer the advertiser's, or not any more there,
/// less what his campaigns have spent for others.
const STRAYS: &str = "
SELECT CAST(coalesce(sum(CASE WHEN day < {day:$2} THEN spent ELSE 0 END), 0) AS BIGINT),
  CAST(coalesce(sum(CASE WHEN day = {day:$2} THEN spent ELSE 0 END), 0) AS BIGINT),
  CAST(coalesce(sum(CASE WHEN day > {day:$2} THEN spent ELSE 0 END), 0) AS BIGINT),
  {days:max(CASE WHEN is_own THEN day END)}
FROM (
  SELECT h.budget_day AS day, h.advertiser_id = $1 AS is_own,
    CASE WHEN h.advertiser_id = $1 THEN -h.amount_micros ELSE h.amount_micros END AS spent
  FROM history_sums h LEFT JOIN campaigns c ON c.campaign_id = h.campaign_id
  WHERE (h.advertiser_id = $1 OR c.advertiser_id = $1)
    AND (c.campaign_id IS NULL OR c.advertiser_id <> h.advertiser_id)
) AS strays";

const ADJUSTMENTS: &str = "
SELECT {us:created_at}, opening_after_micros - opening_before_micros FROM opening_changes
WHERE advertiser_id = $1 AND created_at >= {at:$2} ORDER BY created_at";

const CHARGES: &str = "
SELECT campaign_id, count(*), CAST(-sum(amount_micros) AS BIGINT) FROM ad_balance_histories
WHERE type = 'DEDUCT' AND advertiser_id = $1 AND budget_day = {day:$2}
  AND occurred_at >= {at:$3} AND occurred_at < {at:$4}
GROUP BY campaign_id";

const REFUNDS: &str = "
SELECT campaign_id, count(*), CAST(sum(amount_micros) AS BIGINT) FROM ad_balance_histories
WHERE type = 'REFUND' AND advertiser_id = $1 AND budget_day = {day:$2} GROUP BY campaign_id";

const HOUR_US: i64 = 3_600_000_000;

/// A budget day begins 14 hours before UTC's in the east and ends 12 hours after it in the west; an hour more for zones
/// to come.
fn instants(day: Day) -> (i64, i64) {
    let start_us = i64::from(day.0) * 24 * HOUR_US;
    (start_us - 15 * HOUR_US, start_us + 37 * HOUR_US)
}

async fn statement<D: Dialect>(
    conn: &mut D,
    advertiser: &str,
    day: Day,
    since_us: i64,
) -> Result<Option<StatementRows>> {
    let balance = rows(conn, BALANCE, &[advertiser.into()]).await?;
    let Some(balance) = balance.first() else { return Ok(None) };
    let number = i64::from(day.0);
    let spends = rows(conn, SPENDS, &[advertiser.into(), number.into()]).await?;
    let changes = rows(conn, ADJUSTMENTS, &[advertiser.into(), since_us.into()]).await?;
    let mut found = StatementRows {
        balance: Micros(balance.cell(0)),
        opening: Micros(balance.cell(1)),
        adjustments: changes
            .iter()
            .map(|row| Adjustment { at_us: row.cell(0), amount: Micros(row.cell(1)) })
            .collect(),
        lines: lines(conn, advertiser, day).await?,
        ..StatementRows::default()
    };
    if let Some(row) = spends.first() {
        found.spent_before = Micros(row.cell(0));
        found.spent = Micros(row.cell(1));
        found.spent_after = Micros(row.cell(2));
        found.last_day = row.cell::<Option<i32>>(3).map(Day);
    }
    if !found.meets() {
        add_strays(conn, advertiser, number, &mut found).await?;
    }
    Ok(Some(found))
}

/// Puts right whose spends are whose, by all of history. That is read only when the campaigns of today do not meet.
async fn add_strays<D: Dialect>(
    conn: &mut D,
    advertiser: &str,
    day: i64,
    found: &mut StatementRows,
) -> Result<()> {
    let row = one(conn, STRAYS, &[advertiser.into(), day.into()]).await?;
    let spends = [&mut found.spent_before, &mut found.spent, &mut found.spent_after];
    for (at, spent) in spends.into_iter().enumerate() {
        *spent = spent.checked_add(Micros(row.cell(at))).ok_or_else(too_much)?;
    }
    found.last_day = found.last_day.max(row.cell::<Option<i32>>(3).map(Day));
    Ok(())
}

impl StatementRows {
    /// Whether the spends lead from the opening balance to the balance, and that of the day is what its lines have.
    fn meets(&self) -> bool {
        let spent = [self.spent_before, self.spent, self.spent_after];
        let spent: i128 = spent.iter().map(|spent| i128::from(spent.0)).sum();
        let net = |line: &StatementLine| i128::from(line.charged.0) - i128::from(line.refunded.0);
        let of_day: i128 = self.lines.iter().map(net).sum();
        i128::from(self.opening.0) - spent == i128::from(self.balance.0)
            && of_day == i128::from(self.spent.0)
    }
}

async fn lines<D: Dialect>(conn: &mut D, advertiser: &str, day: Day) -> Result<Vec<StatementLine>> {
    let mut lines: BTreeMap<String, StatementLine> = BTreeMap::new();
    let (from_us, to_us) = instants(day);
    let number = i64::from(day.0);
    let args = [advertiser.into(), number.into(), from_us.into(), to_us.into()];
    for row in rows(conn, CHARGES, &args).await? {
        let line = lines.entry(row.cell(0)).or_default();
        (line.clicks, line.charged) = (row.cell(1), Micros(row.cell(2)));
    }
    for row in rows(conn, REFUNDS, &args[..2]).await? {
        let line = lines.entry(row.cell(0)).or_default();
        (line.refunds, line.refunded) = (row.cell(1), Micros(row.cell(2)));
    }
    let named = lines.into_iter().map(|(campaign, line)| StatementLine { campaign, ..line });
    Ok(named.collect())
}
