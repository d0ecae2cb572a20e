//! What is kept of rows of history that are taken away.

use super::first_meant;
use crate::dialect::{Dialect, change};
use crate::error::Result;

/// What becomes of the rows once their sums are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The caller takes their table away.
    Stays,
    /// They go to `expired_history`.
    Moved,
    Deleted,
}

/// Keeps the sums of a table's rows of days before `oldest` and gives their number. Nobody may write such rows until
/// the transaction ends. Days that a waiting compensation may mean stay; of a table that is taken away as a whole the
/// caller knows that there is none.
pub(crate) async fn retire<D: Dialect>(
    conn: &mut D,
    table: &str,
    oldest: i32,
    rest: Rest,
) -> Result<u64> {
    let oldest = if rest == Rest::Stays { oldest } else { oldest.min(first_meant(conn).await?) };
    let args = [i64::from(oldest).into()];
    // The watch cannot read these rows any more; a lap that is under way has read them and is not written.
    change(conn, "UPDATE watch_state SET lap = lap + 1", &[]).await?;
    let steps = [SUMS, POINTS, REFUNDS, CHARGES];
    for sql in WATCH.into_iter().chain(steps) {
        let sql = sql.replace("UNWATCHED", UNWATCHED).replace("TABLE", table);
        change(conn, &sql, &args).await?;
    }
    change(conn, "DELETE FROM retired_points WHERE surplus = 0", &[]).await?;
    change(conn, SETTLED, &[]).await?;
    if rest == Rest::Moved {
        let sql = format!("INSERT INTO expired_history SELECT * FROM {table} WHERE {OLD}");
        change(conn, &sql, &args).await?;
    }
    if rest == Rest::Stays {
        return Ok(0);
    }
    change(conn, &format!("DELETE FROM {table} WHERE {OLD}"), &args).await
}

/// Rows `h` of the table that the watch has not seen.
const UNWATCHED: &str = "
TABLE AS h LEFT JOIN watch_marks m ON m.topic = h.kafka_topic AND m.incarnation = h.incarnation
  AND m.kafka_partition = h.kafka_partition
WHERE h.budget_day < {day:$1} AND CASE h.type
  WHEN 'DEDUCT' THEN h.kafka_offset >= coalesce(m.upto_offset, 0) OR EXISTS (
    SELECT 1 FROM dead_letters d WHERE d.topic = h.kafka_topic AND d.incarnation = h.incarnation
      AND d.kafka_partition = h.kafka_partition AND d.kafka_offset = h.kafka_offset AND d.replayed_at IS NOT NULL
      AND NOT d.watched)
  ELSE EXISTS (
    SELECT 1 FROM compensations c WHERE c.topic = h.kafka_topic AND c.incarnation = h.incarnation
      AND c.kafka_partition = h.kafka_partition AND c.kafka_offset = h.kafka_offset AND NOT c.watched) END";

/// Takes the rows into the sums of the watch, marks last.
const WATCH: [&str; 5] = [
    "INSERT INTO watch_balances (advertiser_id, moved_micros)
     SELECT h.advertiser_id, CAST(sum(h.amount_micros) AS BIGINT) FROM UNWATCHED GROUP BY h.advertiser_id
     ON CONFLICT (advertiser_id) DO UPDATE SET moved_micros = watch_balances.moved_micros + excluded.moved_micros",
    "INSERT INTO watch_days (day, campaign_id, charged_micros, refunded_micros)
     SELECT h.budget_day, h.campaign_id,
       CAST(-sum(CASE WHEN h.type = 'DEDUCT' THEN h.amount_micros ELSE 0 END) AS BIGINT),
       CAST(sum(CASE WHEN h.type = 'REFUND' THEN h.amount_micros ELSE 0 END) AS BIGINT)
     FROM UNWATCHED GROUP BY h.budget_day, h.campaign_id
     ON CONFLICT (day, campaign_id) DO UPDATE SET
       charged_micros = watch_days.charged_micros + excluded.charged_micros,
       refunded_micros = watch_days.refunded_micros + excluded.refunded_micros",
    "INSERT INTO watch_marks (topic, incarnation, kafka_partition, upto_offset, charged)
     SELECT h.kafka_topic, h.incarnation, h.kafka_partition, 0, count(*) FROM UNWATCHED AND h.type = 'DEDUCT'
     GROUP BY h.kafka_topic, h.incarnation, h.kafka_partition
     ON CONFLICT (topic, incarnation, kafka_partition) DO UPDATE SET
       charged = watch_marks.charged + excluded.charged",
    "UPDATE compensations AS c SET watched = true FROM TABLE AS h
     WHERE h.type = 'REFUND' AND h.budget_day < {day:$1} AND h.kafka_topic = c.topic AND h.incarnation = c.incarnation
       AND h.kafka_partition = c.kafka_partition AND h.kafka_offset = c.kafka_offset AND NOT c.watched",
    "UPDATE dead_letters AS d SET watched = true FROM TABLE AS h
     WHERE h.type = 'DEDUCT' AND h.budget_day < {day:$1} AND h.kafka_topic = d.topic AND h.incarnation = d.incarnation
       AND h.kafka_partition = d.kafka_partition AND h.kafka_offset = d.kafka_offset AND d.replayed_at IS NOT NULL
       AND NOT d.watched",
];

const OLD: &str = "budget_day < {day:$1}";

const SUMS: &str = "
INSERT INTO retired_history (budget_day, advertiser_id, campaign_id, type, kafka_topic, incarnation, kafka_partition,
  row_count, amount_micros)
SELECT budget_day, advertiser_id, campaign_id, type, kafka_topic, incarnation, kafka_partition, count(*),
  CAST(sum(amount_micros) AS BIGINT)
FROM TABLE WHERE budget_day < {day:$1}
GROUP BY budget_day, advertiser_id, campaign_id, type, kafka_topic, incarnation, kafka_partition
ON CONFLICT (budget_day, advertiser_id, campaign_id, type, kafka_topic, incarnation, kafka_partition) DO UPDATE SET
  row_count = retired_history.row_count + excluded.row_count,
  amount_micros = retired_history.amount_micros + excluded.amount_micros";

/// Each row is a step of the chain of balances. Steps that follow each other leave only two ends, which meet those of
/// the next day.
const POINTS: &str = "
INSERT INTO retired_points (advertiser_id, point_micros, surplus)
SELECT advertiser_id, point, CAST(sum(n) AS BIGINT) FROM (
  SELECT advertiser_id, balance_after_micros AS point, 1 AS n FROM TABLE WHERE budget_day < {day:$1}
  UNION ALL
  SELECT advertiser_id, balance_after_micros - amount_micros, -1 FROM TABLE WHERE budget_day < {day:$1}
) AS points WHERE true GROUP BY advertiser_id, point HAVING sum(n) <> 0
ON CONFLICT (advertiser_id, point_micros) DO UPDATE SET surplus = retired_points.surplus + excluded.surplus";

const REFUNDS: &str = "
UPDATE compensations AS c SET retired = true FROM TABLE AS h
WHERE h.type = 'REFUND' AND h.budget_day < {day:$1} AND h.kafka_topic = c.topic AND h.incarnation = c.incarnation
  AND h.kafka_partition = c.kafka_partition AND h.kafka_offset = c.kafka_offset";

const CHARGES: &str = "
UPDATE refunded_charges AS r SET retired = true FROM TABLE AS h
WHERE h.type = 'DEDUCT' AND h.budget_day < {day:$1} AND h.kafka_topic = r.topic AND h.incarnation = r.incarnation
  AND h.kafka_partition = r.kafka_partition AND h.kafka_offset = r.kafka_offset";

/// What means a charge that is gone is not paid any more; its mark serves until its refund is gone, too.
const SETTLED: &str = "
DELETE FROM refunded_charges WHERE retired AND EXISTS (
  SELECT 1 FROM compensations c WHERE c.id = refunded_charges.compensation_id AND c.retired)";
