//! What is kept of rows of history that are taken away.

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
/// the transaction ends.
pub(crate) async fn retire<D: Dialect>(
    conn: &mut D,
    table: &str,
    oldest: i32,
    rest: Rest,
) -> Result<u64> {
    let args = [i64::from(oldest).into()];
    for sql in [SUMS, POINTS, REFUNDS, CHARGES] {
        change(conn, &sql.replace("TABLE", table), &args).await?;
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

/// A charge that is gone cannot be refunded again; its mark serves until its refund is gone, too.
const SETTLED: &str = "
DELETE FROM refunded_charges WHERE retired AND EXISTS (
  SELECT 1 FROM compensations c WHERE c.id = refunded_charges.compensation_id AND c.retired)";
