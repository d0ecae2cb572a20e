//! Whether the ledger adds up. The claims are plain SQL that both databases understand; each is one statement over one
//! snapshot, so that nothing but a count and an example leaves the database.

mod ledger;
mod notes;
mod refunds;

use tollgate_domain::day::Day;

use crate::dialect::{Cells, Dialect, one};
use crate::error::{LedgerError, Result};
use crate::rows::{AuditReport, Check};

/// Which part of the ledger is audited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditScope {
    /// Only budget days from here on; what earlier days spent is taken from their sums. `None`: all days.
    pub since: Option<Day>,
    /// Only what is about this advertiser's money. `None`: all advertisers.
    pub advertiser: Option<String>,
}

/// How far an audit is.
#[derive(Debug)]
pub enum AuditStep<'a> {
    /// A claim is looked at, counted from 1.
    Begins {
        number: usize,
        of: usize,
        claim: &'static str,
    },
    Done(&'a Check),
}

pub(crate) async fn audit<D: Dialect>(
    conn: &mut D,
    scope: &AuditScope,
    on_step: &mut (dyn FnMut(AuditStep<'_>) + Send),
) -> Result<AuditReport> {
    conn.begin_snapshot().await?;
    let report = ask(conn, scope, on_step).await;
    if !report.as_ref().is_err_and(LedgerError::is_outage) {
        conn.roll_back().await?;
    }
    report
}

async fn ask<D: Dialect>(
    conn: &mut D,
    scope: &AuditScope,
    on_step: &mut (dyn FnMut(AuditStep<'_>) + Send),
) -> Result<AuditReport> {
    if let Some(advertiser) = &scope.advertiser {
        known(conn, advertiser).await?;
    }
    let (asked, left_out): (Vec<_>, Vec<_>) =
        CLAIMS.iter().copied().flatten().partition(|claim| claim.asked.fits(scope));
    let left_out = left_out.iter().map(|claim| claim.name).collect();
    let mut report = AuditReport { checks: vec![], left_out };
    let since = i64::from(scope.since.unwrap_or(FIRST_DAY).0);
    let args = [since.into(), scope.advertiser.as_deref().unwrap_or_default().into()];
    for (at, claim) in asked.iter().enumerate() {
        on_step(AuditStep::Begins { number: at + 1, of: asked.len(), claim: claim.claim });
        let row = one(conn, claim.sql, &args).await?;
        let check = claim.check(row.cell(0), row.cell(1), row.cell(2));
        on_step(AuditStep::Done(&check));
        report.checks.push(check);
    }
    Ok(report)
}

/// 0001-01-01: no click is older.
const FIRST_DAY: Day = Day(-719_162);

/// # Errors
/// `NotFound` when nothing is known of an advertiser, whose money would be found to be in order.
async fn known<D: Dialect>(conn: &mut D, advertiser: &str) -> Result<()> {
    let row = one(conn, KNOWN, &[advertiser.into()]).await?;
    if row.cell::<i64>(0) > 0 {
        return Ok(());
    }
    Err(LedgerError::NotFound(format!(
        "there is no advertiser {advertiser}; look into `advertiser_balances` for its id"
    )))
}

const KNOWN: &str = "
SELECT (SELECT count(*) FROM advertiser_balances WHERE advertiser_id = $1)
  + (SELECT count(*) FROM campaigns WHERE advertiser_id = $1)";

/// A statement that answers: how many things were looked at, how many are wrong, and an example of one. Place `$1` is the
/// first budget day, `$2` the advertiser, or empty for all.
struct Claim {
    name: &'static str,
    claim: &'static str,
    asked: Asked,
    /// A note never fails.
    note: bool,
    sql: &'static str,
}

/// Of which parts of the ledger a claim can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    AnyPart,
    /// One advertiser's part cannot be told.
    AllAdvertisers,
    /// Later days mean nothing without the earlier ones.
    AllDays,
    Everything,
}

impl Asked {
    fn fits(self, scope: &AuditScope) -> bool {
        let all_days = scope.since.is_none();
        let all_advertisers = scope.advertiser.is_none();
        match self {
            Self::AnyPart => true,
            Self::AllAdvertisers => all_advertisers,
            Self::AllDays => all_days,
            Self::Everything => all_days && all_advertisers,
        }
    }
}

impl Claim {
    fn check(&self, looked_at: i64, wrong: i64, example: Option<String>) -> Check {
        Check {
            name: self.name,
            claim: self.claim,
            ok: self.note || wrong == 0,
            expected: looked_at,
            found: looked_at - wrong,
            detail: example.unwrap_or_default(),
        }
    }
}

const CLAIMS: &[&[Claim]] = &[ledger::CLAIMS, refunds::CLAIMS, notes::CLAIMS];
