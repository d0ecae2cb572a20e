//! What is only counted.

use super::{Asked, Claim};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        name: "overspend",
        claim: "what was charged after pauses is only counted",
        asked: Asked::AnyPart,
        note: true,
        sql: "
WITH asked AS (
  SELECT campaign_id, day, overspent_micros FROM campaign_daily_spend
  WHERE day >= {day:$1} AND ($2 = '' OR campaign_id IN (SELECT campaign_id FROM campaigns WHERE advertiser_id = $2))
), late AS (
  SELECT campaign_id, day, overspent_micros FROM asked WHERE overspent_micros > 0
)
SELECT (SELECT count(*) FROM asked), count(*),
  CASE WHEN count(*) > 0 THEN CAST(sum(overspent_micros) AS TEXT) || ' micros on ' || CAST(count(*) AS TEXT)
    || ' campaign-days, the worst is ' || (
      SELECT campaign_id || ' ' || CAST(day AS TEXT) || ' with ' || CAST(overspent_micros AS TEXT) FROM late
      ORDER BY overspent_micros DESC, campaign_id, day LIMIT 1) END
FROM late",
    },
    Claim {
        name: "deliveries",
        claim: "messages that wait or were given up are only counted",
        asked: Asked::AllAdvertisers,
        note: true,
        sql: "
SELECT count(*), CAST(coalesce(sum(CASE WHEN outcome IS NULL OR outcome = 'DEAD' THEN 1 ELSE 0 END), 0) AS BIGINT),
  CASE WHEN count(*) > 0 THEN CAST(sum(CASE WHEN outcome IS NULL THEN 1 ELSE 0 END) AS TEXT) || ' wait, '
    || CAST(sum(CASE WHEN outcome = 'DEAD' THEN 1 ELSE 0 END) AS TEXT) || ' were given up' END
FROM deliveries",
    },
    Claim {
        name: "negative_balances",
        claim: "balances below zero are allowed and only counted",
        asked: Asked::AnyPart,
        note: true,
        sql: "
SELECT count(*), CAST(coalesce(sum(CASE WHEN balance_micros < 0 THEN 1 ELSE 0 END), 0) AS BIGINT),
  min(CASE WHEN balance_micros < 0 THEN advertiser_id || ': ' || CAST(balance_micros AS TEXT) END)
FROM advertiser_balances WHERE $2 = '' OR advertiser_id = $2",
    },
    Claim {
        name: "unworded",
        claim: "happenings that nobody has worded yet are only counted",
        asked: Asked::AllAdvertisers,
        note: true,
        sql: "
SELECT count(*), count(CASE WHEN worded_at IS NULL THEN 1 END),
  'the oldest waits for ' || CAST(({clock} - min(CASE WHEN worded_at IS NULL THEN {us:created_at} END)) / 1000000 AS TEXT)
    || ' s'
FROM outbox",
    },
    Claim {
        name: "waiting_deliveries",
        claim: "messages that wait to be sent are only counted",
        asked: Asked::AnyPart,
        note: true,
        sql: "
SELECT count(*), count(CASE WHEN outcome IS NULL THEN 1 END),
  'the oldest waits for ' || CAST(({clock} - min(CASE WHEN outcome IS NULL THEN {us:created_at} END)) / 1000000 AS TEXT)
    || ' s'
FROM deliveries WHERE $2 = '' OR advertiser_id = $2",
    },
    Claim {
        name: "default_rows",
        claim: "rows of days without a partition of their own are only counted",
        asked: Asked::AnyPart,
        note: true,
        sql: "
SELECT count(*), count(*), 'days from ' || CAST(min(budget_day) AS TEXT) || ' to ' || CAST(max(budget_day) AS TEXT)
  || ', the host moves them to partitions'
FROM ad_balance_histories_default WHERE budget_day >= {day:$1} AND ($2 = '' OR advertiser_id = $2)",
    },
    Claim {
        name: "retired_days",
        claim: "days whose rows were taken away and whose sums are kept are only counted",
        asked: Asked::AnyPart,
        note: true,
        sql: "
SELECT count(DISTINCT budget_day), count(DISTINCT budget_day), CAST(sum(row_count) AS TEXT) || ' rows up to '
  || CAST(max(budget_day) AS TEXT)
FROM retired_history WHERE budget_day >= {day:$1} AND ($2 = '' OR advertiser_id = $2)",
    },
];
