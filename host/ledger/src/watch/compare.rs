//! The ledger against what the watch has seen, in the snapshot in which it has seen everything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;

use super::seen::{CampaignDay, DayMoney, Mark, Part, Seen};
use crate::dialect::{Cells, Dialect, rows};
use crate::error::{Result, too_much};

/// Findings of one claim at most: who has changed a whole table does not need a message for each row.
const FINDINGS_MAX: usize = 100;

/// Something that does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) claim: String,
    pub(super) subject: String,
    pub(super) advertiser: String,
    pub(super) campaign: String,
    pub(super) day: Option<Day>,
    pub(super) expected: i64,
    pub(super) found: Option<i64>,
    pub(super) detail: String,
}

/// Everything that does not hold, by claim and subject. `marks` stand where `seen` ends.
pub(super) async fn compare<D: Dialect>(
    conn: &mut D,
    marks: &[Mark],
    seen: &Seen,
    now_us: i64,
) -> Result<Vec<Mismatch>> {
    let mut wrong = partitions(marks, seen);
    wrong.extend(balances(conn, seen).await?);
    wrong.extend(days(conn, seen, now_us).await?);
    Ok(wrong)
}

fn partitions(marks: &[Mark], seen: &Seen) -> Vec<Mismatch> {
    let counters = marks.iter().filter_map(|mark| {
        let now = seen.marks.get(&mark.part).map_or(0, |(_, charged)| *charged);
        let (expected, found) = (mark.charged, mark.seen + now);
        (found != expected).then(|| of_partition(&mark.part, "counters", expected, found))
    });
    let fates = marks.iter().filter(|mark| mark.consumed != mark.fates);
    let fates = fates.map(|mark| of_partition(&mark.part, "fates", mark.consumed, mark.fates));
    counters.take(FINDINGS_MAX).chain(fates.take(FINDINGS_MAX)).collect()
}

fn of_partition(part: &Part, claim: &str, expected: i64, found: i64) -> Mismatch {
    let Part { topic, incarnation, partition } = part;
    let detail = if claim == "fates" {
        format!("{topic} {partition}: {expected} offsets were consumed, and {found} have a fate")
    } else {
        format!(
            "{topic} {partition}: {expected} charges or compensations were counted, and {found} are there"
        )
    };
    Mismatch {
        claim: claim.to_owned(),
        subject: format!("{topic}/{incarnation}/{partition}"),
        advertiser: String::new(),
        campaign: String::new(),
        day: None,
        expected,
        found: Some(found),
        detail,
    }
}

/// Balances that this lap has touched, which are `$1`, and those that were wrong before it.
const BALANCES: &str = "
SELECT id, CAST(sum(balance) AS BIGINT), CAST(sum(opening) AS BIGINT), CAST(sum(moved) AS BIGINT), sum(present) > 0
FROM (
  SELECT advertiser_id AS id, balance_micros AS balance, opening_micros AS opening, 0 AS moved, 1 AS present
  FROM advertiser_balances
  UNION ALL SELECT advertiser_id, 0, 0, moved_micros, 0 FROM watch_balances
) AS every
GROUP BY id HAVING sum(balance) <> sum(opening) + sum(moved) OR id IN {keys:$1} ORDER BY id";

async fn balances<D: Dialect>(conn: &mut D, seen: &Seen) -> Result<Vec<Mismatch>> {
    let touched = json!(seen.balances.keys().collect::<Vec<_>>()).to_string();
    let mut known = BTreeMap::new();
    for row in rows(conn, BALANCES, &[(&touched).into()]).await? {
        let balance = row.cell::<bool>(4).then(|| row.cell::<i64>(1));
        let expected = Micros(row.cell(2)).checked_add(Micros(row.cell(3))).ok_or_else(too_much)?;
        known.insert(row.cell::<String>(0), (balance, expected));
    }
    for (id, moved) in &seen.balances {
        let (_, expected) = known.entry(id.clone()).or_insert((None, Micros::ZERO));
        *expected = expected.checked_add(*moved).ok_or_else(too_much)?;
    }
    let wrong = known.into_iter().filter(|(_, (found, expected))| *found != Some(expected.0));
    Ok(wrong
        .take(FINDINGS_MAX)
        .map(|(id, (found, expected))| of_balance(id, found, expected))
        .collect())
}

fn of_balance(id: String, found: Option<i64>, expected: Micros) -> Mismatch {
    let is = found.map_or("is missing".to_owned(), |found| format!("is {}", Micros(found)));
    Mismatch {
        claim: "balances".to_owned(),
        detail: format!(
            "the balance of {id} {is}, and opening balance and history make it {expected}"
        ),
        subject: id.clone(),
        advertiser: id,
        campaign: String::new(),
        day: None,
        expected: expected.0,
        found,
    }
}

/// Days from `$1` on that this lap has touched, whose keys are `$2`, and those that were wrong before it.
const RECENT_DAYS: &str = "
SELECT id, day, CAST(sum(spent) AS BIGINT), CAST(sum(charged) AS BIGINT), CAST(sum(refunded) AS BIGINT)
FROM (
  SELECT campaign_id AS id, {days:day} AS day, spent_micros AS spent, 0 AS charged, 0 AS refunded
  FROM campaign_daily_spend WHERE day >= {day:$1}
  UNION ALL
  SELECT campaign_id, {days:day}, 0, charged_micros, refunded_micros FROM watch_days WHERE day >= {day:$1}
) AS every
GROUP BY id, day
HAVING sum(spent) <> sum(charged) - sum(refunded) OR sum(refunded) > sum(charged)
  OR id || ' ' || CAST(day AS TEXT) IN {keys:$2}";

/// Single days.
const OLD_DAYS: &str = "
SELECT k.id, k.day, coalesce(d.spent_micros, 0), coalesce(w.charged_micros, 0), coalesce(w.refunded_micros, 0)
FROM (
  SELECT CAST(e.value ->> 'c' AS TEXT) AS id, CAST(e.value ->> 'd' AS INTEGER) AS day FROM {elements:$1} AS e
) AS k
LEFT JOIN campaign_daily_spend d ON d.campaign_id = k.id AND d.day = {day:k.day}
LEFT JOIN watch_days w ON w.campaign_id = k.id AND w.day = {day:k.day}";

/// Days whose finding is open are looked at again, however old they are.
const OPEN_DAYS: &str = "
SELECT campaign_id, {days:day} FROM audit_findings
WHERE source = 'WATCH' AND cleared_at IS NULL AND day IS NOT NULL";

/// Spend of the ledger, and what was seen.
type DayLine = (Micros, DayMoney);

async fn days<D: Dialect>(conn: &mut D, seen: &Seen, now_us: i64) -> Result<Vec<Mismatch>> {
    let yesterday = Day::utc(now_us).0 - 1;
    let open = rows(conn, OPEN_DAYS, &[]).await?;
    let open = open.iter().map(|row| (row.cell(0), row.cell(1)));
    let wanted: BTreeSet<CampaignDay> = seen.days.keys().cloned().chain(open).collect();
    let (recent, old): (Vec<_>, Vec<_>) = wanted.iter().partition(|(_, day)| *day >= yesterday);
    let keys = json!(recent.iter().map(|(id, day)| format!("{id} {day}")).collect::<Vec<_>>());
    let old = json!(old.iter().map(|(id, day)| json!({ "c": id, "d": day })).collect::<Vec<_>>());
    let (keys, old) = (keys.to_string(), old.to_string());
    let mut found = rows(conn, RECENT_DAYS, &[i64::from(yesterday).into(), (&keys).into()]).await?;
    found.extend(rows(conn, OLD_DAYS, &[(&old).into()]).await?);
    let mut known: BTreeMap<CampaignDay, DayLine> = found.iter().map(day_line).collect();
    for (key, more) in &seen.days {
        let (_, money) = known.entry(key.clone()).or_default();
        money.charged = money.charged.checked_add(more.charged).ok_or_else(too_much)?;
        money.refunded = money.refunded.checked_add(more.refunded).ok_or_else(too_much)?;
    }
    let mut wrong = Vec::new();
    for (key, line) in &known {
        wrong.extend(of_day(key, line)?);
    }
    name_advertisers(conn, &mut wrong).await?;
    Ok(bounded(wrong))
}

fn day_line(row: &impl Cells) -> (CampaignDay, DayLine) {
    let money = DayMoney { charged: Micros(row.cell(3)), refunded: Micros(row.cell(4)) };
    ((row.cell(0), row.cell(1)), (Micros(row.cell(2)), money))
}

fn of_day((id, day): &CampaignDay, (spent, money): &DayLine) -> Result<Vec<Mismatch>> {
    let DayMoney { charged, refunded } = *money;
    let (mut wrong, day) = (Vec::new(), Day(*day));
    let mut mismatch = |claim: &str, expected: Micros, found: Micros, detail| {
        wrong.push(Mismatch {
            claim: claim.to_owned(),
            subject: format!("{id} {day}"),
            advertiser: String::new(),
            campaign: id.clone(),
            day: Some(day),
            expected: expected.0,
            found: Some(found.0),
            detail,
        });
    };
    let net = charged.checked_sub(refunded).ok_or_else(too_much)?;
    if *spent != net {
        let detail = format!("the spend of {id} on {day} is {spent}, and history makes it {net}");
        mismatch("spend", net, *spent, detail);
    }
    if refunded > charged {
        let detail =
            format!("{refunded} were refunded to {id} on {day}, and only {charged} charged");
        mismatch("refund_bounds", charged, refunded, detail);
    }
    Ok(wrong)
}

/// A campaign that was removed concerns nobody any more that could be named.
async fn name_advertisers<D: Dialect>(conn: &mut D, wrong: &mut [Mismatch]) -> Result<()> {
    let ids: BTreeSet<_> = wrong.iter().map(|mismatch| &mismatch.campaign).collect();
    let sql = "SELECT campaign_id, advertiser_id FROM campaigns WHERE campaign_id IN {keys:$1}";
    let found = rows(conn, sql, &[(&json!(ids).to_string()).into()]).await?;
    let owners: BTreeMap<String, String> =
        found.iter().map(|row| (row.cell(0), row.cell(1))).collect();
    for mismatch in wrong {
        mismatch.advertiser = owners.get(&mismatch.campaign).cloned().unwrap_or_default();
    }
    Ok(())
}

fn bounded(wrong: Vec<Mismatch>) -> Vec<Mismatch> {
    let of =
        |claim: &'static str| wrong.iter().filter(move |one| one.claim == claim).take(FINDINGS_MAX);
    of("spend").chain(of("refund_bounds")).cloned().collect()
}
