//! What must hold of charges, balances, offsets, crossings and messages.

use super::{Asked, Claim};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        name: "balances",
        claim: "every balance is the opening balance plus the history",
        asked: Asked::AnyPart,
        note: false,
        // The sums of earlier days are those of campaigns. Whose money it was is what history says, when a campaign was
        // deleted or has another advertiser since. History of these days is only read when sums alone do not meet.
        sql: "
WITH moved AS (
  SELECT advertiser_id, CAST(sum(amount_micros) AS BIGINT) AS moved FROM history_sums
  WHERE budget_day >= {day:$1} AND ($2 = '' OR advertiser_id = $2) GROUP BY advertiser_id
), earlier AS (
  SELECT c.advertiser_id, CAST(sum(d.spent_micros) AS BIGINT) AS spent
  FROM campaign_daily_spend d JOIN campaigns c ON c.campaign_id = d.campaign_id
  WHERE d.day < {day:$1} AND ($2 = '' OR c.advertiser_id = $2) GROUP BY c.advertiser_id
), by_campaigns AS (
  SELECT b.advertiser_id AS id, b.balance_micros AS found,
    b.opening_micros - coalesce(e.spent, 0) + coalesce(m.moved, 0) AS expected
  FROM advertiser_balances b LEFT JOIN moved m ON m.advertiser_id = b.advertiser_id
  LEFT JOIN earlier e ON e.advertiser_id = b.advertiser_id
  WHERE $2 = '' OR b.advertiser_id = $2
), strays AS (
  SELECT h.advertiser_id AS payer, c.advertiser_id AS owner, CAST(sum(h.amount_micros) AS BIGINT) AS amount
  FROM history_sums h LEFT JOIN campaigns c ON c.campaign_id = h.campaign_id
  WHERE h.budget_day < {day:$1} AND (c.campaign_id IS NULL OR c.advertiser_id <> h.advertiser_id)
    AND EXISTS (SELECT 1 FROM by_campaigns b WHERE b.found <> b.expected)
  GROUP BY h.advertiser_id, c.advertiser_id
), paid_elsewhere AS (
  SELECT id, CAST(sum(amount) AS BIGINT) AS amount FROM (
    SELECT payer AS id, amount FROM strays UNION ALL SELECT owner, -amount FROM strays WHERE owner IS NOT NULL
  ) AS both_sides GROUP BY id
), compared AS (
  SELECT b.id, b.found, b.expected + coalesce(p.amount, 0) AS expected
  FROM by_campaigns b LEFT JOIN paid_elsewhere p ON p.id = b.id
  UNION ALL
  SELECT m.advertiser_id, NULL, m.moved FROM moved m
  WHERE NOT EXISTS (SELECT 1 FROM advertiser_balances b WHERE b.advertiser_id = m.advertiser_id)
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN found = expected THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN found = expected THEN NULL ELSE
    id || ': found ' || coalesce(CAST(found AS TEXT), 'no row') || ', expected ' || CAST(expected AS TEXT) END)
FROM compared",
    },
    Claim {
        name: "spend",
        claim: "every day's spend is what history charged to that campaign and day",
        asked: Asked::AnyPart,
        note: false,
        sql: "
WITH moved AS (
  SELECT campaign_id, budget_day, CAST(-sum(amount_micros) AS BIGINT) AS moved
  FROM history_sums
  WHERE budget_day >= {day:$1}
    AND ($2 = '' OR campaign_id IN (SELECT campaign_id FROM campaigns WHERE advertiser_id = $2))
  GROUP BY campaign_id, budget_day
), compared AS (
  SELECT d.campaign_id AS id, d.day, d.spent_micros AS found, coalesce(m.moved, 0) AS expected
  FROM campaign_daily_spend d LEFT JOIN moved m ON m.campaign_id = d.campaign_id AND m.budget_day = d.day
  WHERE d.day >= {day:$1}
    AND ($2 = '' OR d.campaign_id IN (SELECT campaign_id FROM campaigns WHERE advertiser_id = $2))
  UNION ALL
  SELECT m.campaign_id, m.budget_day, NULL, m.moved FROM moved m
  WHERE NOT EXISTS (SELECT 1 FROM campaign_daily_spend d WHERE d.campaign_id = m.campaign_id AND d.day = m.budget_day)
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN found = expected THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN found = expected THEN NULL ELSE id || ' ' || CAST(day AS TEXT) || ': found '
    || coalesce(CAST(found AS TEXT), 'no row') || ', expected ' || CAST(expected AS TEXT) END)
FROM compared",
    },
    Claim {
        name: "fates",
        claim: "every consumed offset has one of four fates",
        asked: Asked::AllAdvertisers,
        note: false,
        sql: "
WITH parts AS (
  SELECT topic, kafka_partition, incarnation, next_offset - first_offset AS consumed,
    charged + skipped + dead + absent AS fates FROM consumer_progress
  UNION ALL
  SELECT topic, kafka_partition, incarnation, next_offset - first_offset, charged + skipped + dead + absent
  FROM retired_progress
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN consumed = fates THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN consumed = fates THEN NULL ELSE topic || ' ' || CAST(kafka_partition AS TEXT) || ': found '
    || CAST(fates AS TEXT) || ' fates, expected ' || CAST(consumed AS TEXT) END)
FROM parts",
    },
    Claim {
        name: "counters",
        claim: "every partition has as many charges or compensations and dead letters as its counters say",
        asked: Asked::Everything,
        note: false,
        sql: "
WITH counted AS (
  SELECT topic, kafka_partition AS part, incarnation, charged, dead, 0 AS rows_, 0 AS letters FROM consumer_progress
  UNION ALL
  SELECT topic, kafka_partition, incarnation, charged, dead, 0, 0 FROM retired_progress
  UNION ALL
  SELECT kafka_topic, kafka_partition, incarnation, 0, 0, sum(row_count), 0 FROM history_sums
  WHERE type = 'DEDUCT' GROUP BY kafka_topic, kafka_partition, incarnation
  UNION ALL
  SELECT topic, kafka_partition, incarnation, 0, 0, count(*), 0 FROM compensations
  GROUP BY topic, kafka_partition, incarnation
  UNION ALL
  SELECT d.topic, d.kafka_partition, d.incarnation, 0, 0, 0, count(*)
  FROM dead_letters d LEFT JOIN compensations c ON c.topic = d.topic AND c.incarnation = d.incarnation
    AND c.kafka_partition = d.kafka_partition AND c.kafka_offset = d.kafka_offset
  WHERE c.id IS NULL AND d.replayed_at IS NULL GROUP BY d.topic, d.kafka_partition, d.incarnation
), summed AS (
  SELECT topic, part, incarnation, sum(charged) AS charged, sum(dead) AS dead, sum(rows_) AS rows_,
    sum(letters) AS letters
  FROM counted GROUP BY topic, part, incarnation
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN charged = rows_ AND dead = letters THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN charged = rows_ AND dead = letters THEN NULL ELSE topic || ' ' || CAST(part AS TEXT) || ': found '
    || CAST(rows_ AS TEXT) || ' rows and ' || CAST(letters AS TEXT) || ' dead letters, expected '
    || CAST(charged AS TEXT) || ' and ' || CAST(dead AS TEXT) END)
FROM summed",
    },
    Claim {
        name: "one_fate",
        claim: "no record is both charged and a dead letter",
        asked: Asked::AllAdvertisers,
        note: false,
        sql: "
SELECT (SELECT count(*) FROM dead_letters), count(*),
  min(d.topic || ' ' || CAST(d.kafka_partition AS TEXT) || ' ' || CAST(d.kafka_offset AS TEXT))
FROM dead_letters d JOIN ad_balance_histories h
  ON h.kafka_partition = d.kafka_partition AND h.kafka_offset = d.kafka_offset AND h.incarnation = d.incarnation
  AND h.kafka_topic = d.topic AND h.budget_day >= {day:$1}
WHERE d.replayed_at IS NULL",
    },
    Claim {
        name: "chain",
        claim: "the balances after each row lead from the opening balance to the balance without a gap",
        asked: Asked::AllDays,
        note: false,
        // Each row is a step from the balance before to the balance after. When the steps form one way, every balance
        // is left as often as it is reached, apart from the two ends.
        sql: "
WITH points AS (
  SELECT advertiser_id AS id, balance_after_micros AS point, 1 AS n FROM ad_balance_histories
  UNION ALL SELECT advertiser_id, balance_after_micros - amount_micros, -1 FROM ad_balance_histories
  UNION ALL SELECT advertiser_id, point_micros, surplus FROM retired_points
  UNION ALL SELECT advertiser_id, opening_micros, 1 FROM advertiser_balances
  UNION ALL SELECT advertiser_id, balance_micros, -1 FROM advertiser_balances
  UNION ALL SELECT advertiser_id, balance_after_micros, 1 FROM opening_changes
  UNION ALL SELECT advertiser_id, balance_before_micros, -1 FROM opening_changes
  UNION ALL SELECT advertiser_id, opening_before_micros, 1 FROM opening_changes
  UNION ALL SELECT advertiser_id, opening_after_micros, -1 FROM opening_changes
), asked AS (
  SELECT id, point, n FROM points WHERE $2 = '' OR id = $2
), broken AS (
  SELECT id, min(point) AS point FROM (SELECT id, point FROM asked GROUP BY id, point HAVING sum(n) <> 0) AS loose
  GROUP BY id
)
SELECT (SELECT count(*) FROM advertiser_balances WHERE $2 = '' OR advertiser_id = $2), count(*),
  min(id || ': the chain breaks at ' || CAST(point AS TEXT))
FROM broken",
    },
    Claim {
        name: "crossings",
        claim: "every crossing has its day, and every level that a day has passed has its crossing",
        asked: Asked::AnyPart,
        note: false,
        sql: "
WITH all_days AS (
  SELECT x.campaign_id AS id, x.day, 'no spend of that day' AS what, EXISTS (
    SELECT 1 FROM campaign_daily_spend d WHERE d.campaign_id = x.campaign_id AND d.day = x.day) AS good
  FROM budget_crossings x WHERE x.kind <> 'RESUME'
  UNION ALL
  SELECT d.campaign_id, d.day, 'warned without a crossing', EXISTS (
    SELECT 1 FROM budget_crossings x WHERE x.campaign_id = d.campaign_id AND x.day = d.day
      AND x.kind IN ('WARN', 'PAUSE') AND x.budget_micros = d.crossing_budget_micros)
  FROM campaign_daily_spend d WHERE d.warned_ppm > 0
  UNION ALL
  SELECT d.campaign_id, d.day, 'paused without a crossing', EXISTS (
    SELECT 1 FROM budget_crossings x WHERE x.campaign_id = d.campaign_id AND x.day = d.day
      AND x.kind = 'PAUSE' AND x.budget_micros = d.crossing_budget_micros)
  FROM campaign_daily_spend d WHERE d.paused_ppm > 0
), looked AS (
  SELECT id, day, what, good FROM all_days
  WHERE day >= {day:$1} AND ($2 = '' OR id IN (SELECT campaign_id FROM campaigns WHERE advertiser_id = $2))
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN good THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN good THEN NULL ELSE id || ' ' || CAST(day AS TEXT) || ': ' || what END)
FROM looked",
    },
    Claim {
        name: "messages",
        claim: "every crossing has left its message",
        asked: Asked::AllAdvertisers,
        note: false,
        sql: "
WITH kinds AS (
  SELECT CASE kind WHEN 'WARN' THEN 'BUDGET_WARNING' WHEN 'PAUSE' THEN 'CAMPAIGN_PAUSED' ELSE 'CAMPAIGN_RESUMED' END
    AS kind, count(*) AS crossings FROM budget_crossings GROUP BY kind
), compared AS (
  SELECT kind, crossings, (SELECT count(*) FROM outbox o WHERE o.kind = k.kind) AS messages FROM kinds k
)
SELECT CAST(coalesce(sum(crossings), 0) AS BIGINT),
  CAST(coalesce(sum(CASE WHEN messages < crossings THEN crossings - messages ELSE 0 END), 0) AS BIGINT),
  min(CASE WHEN messages < crossings THEN kind || ': found ' || CAST(messages AS TEXT) || ' messages, expected '
    || CAST(crossings AS TEXT) END)
FROM compared",
    },
    Claim {
        name: "pauses",
        claim: "every campaign that the budget paused has a crossing that says so",
        asked: Asked::AnyPart,
        note: false,
        sql: "
WITH looked AS (
  SELECT c.campaign_id AS id, EXISTS (
    SELECT 1 FROM budget_crossings x WHERE x.campaign_id = c.campaign_id AND x.day = c.paused_day AND x.kind = 'PAUSE')
    AS good
  FROM campaigns c WHERE c.status = 'PAUSED' AND c.paused_reason = 'BUDGET_EXHAUSTED'
    AND ($2 = '' OR c.advertiser_id = $2)
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN good THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN good THEN NULL ELSE id || ': paused without a crossing' END)
FROM looked",
    },
    Claim {
        name: "happenings",
        claim: "every message is about a happening that was worded",
        asked: Asked::AllAdvertisers,
        note: false,
        sql: "
WITH looked AS (
  SELECT d.key, EXISTS (
    SELECT 1 FROM outbox o WHERE o.dedup_key = d.happening AND o.kind = d.kind AND o.worded_at IS NOT NULL) AS good
  FROM deliveries d
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN good THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN good THEN NULL ELSE key || ': no such happening' END)
FROM looked",
    },
    Claim {
        name: "overspend_bounds",
        claim: "what a day was charged after a pause is a part of what history charged that day",
        asked: Asked::AnyPart,
        note: false,
        sql: "
WITH charged AS (
  SELECT campaign_id, budget_day, CAST(-sum(amount_micros) AS BIGINT) AS charged
  FROM history_sums WHERE type = 'DEDUCT' AND budget_day >= {day:$1} GROUP BY campaign_id, budget_day
), compared AS (
  SELECT d.campaign_id AS id, d.day, d.overspent_micros AS found, coalesce(c.charged, 0) AS most
  FROM campaign_daily_spend d LEFT JOIN charged c ON c.campaign_id = d.campaign_id AND c.budget_day = d.day
  WHERE d.day >= {day:$1}
    AND ($2 = '' OR d.campaign_id IN (SELECT campaign_id FROM campaigns WHERE advertiser_id = $2))
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN found BETWEEN 0 AND most THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN found BETWEEN 0 AND most THEN NULL ELSE id || ' ' || CAST(day AS TEXT) || ': found '
    || CAST(found AS TEXT) || ', expected 0 to ' || CAST(most AS TEXT) END)
FROM compared",
    },
    Claim {
        name: "generations",
        claim: "every charge was priced by the generation in force at its offset",
        asked: Asked::AnyPart,
        note: false,
        // Generations of a partition begin at growing offsets, so all charges of one lie in its span when the first and the
        // last do. What was replayed keeps its offset and has the generation of the replay.
        sql: "
WITH priced AS (
  SELECT h.kafka_topic AS topic, h.incarnation, h.kafka_partition, h.generation, count(*) AS charges,
    min(h.kafka_offset) AS first_offset, max(h.kafka_offset) AS last_offset
  FROM ad_balance_histories h
  WHERE h.type = 'DEDUCT' AND h.budget_day >= {day:$1} AND ($2 = '' OR h.advertiser_id = $2)
    AND NOT EXISTS (
      SELECT 1 FROM dead_letters d WHERE d.topic = h.kafka_topic AND d.incarnation = h.incarnation
        AND d.kafka_partition = h.kafka_partition AND d.kafka_offset = h.kafka_offset AND d.replayed_at IS NOT NULL)
  GROUP BY h.kafka_topic, h.incarnation, h.kafka_partition, h.generation
), judged AS (
  SELECT p.*, CASE
      WHEN newer.first_offset <= p.last_offset THEN 'generation ' || CAST(newer.generation AS TEXT) || ' began at offset '
        || CAST(newer.first_offset AS TEXT)
      WHEN own.first_offset > p.first_offset THEN 'it began at offset ' || CAST(own.first_offset AS TEXT)
      WHEN own.first_offset IS NULL AND EXISTS (
        SELECT 1 FROM rule_generation_starts s WHERE s.topic = p.topic AND s.incarnation = p.incarnation
          AND s.kafka_partition = p.kafka_partition AND s.generation < p.generation) THEN 'it was never in force there'
    END AS wrong
  FROM priced p
  LEFT JOIN rule_generation_starts own ON own.topic = p.topic AND own.incarnation = p.incarnation
    AND own.kafka_partition = p.kafka_partition AND own.generation = p.generation
  LEFT JOIN rule_generation_starts newer ON newer.topic = p.topic AND newer.incarnation = p.incarnation
    AND newer.kafka_partition = p.kafka_partition AND newer.generation = (
      SELECT min(s.generation) FROM rule_generation_starts s WHERE s.topic = p.topic AND s.incarnation = p.incarnation
        AND s.kafka_partition = p.kafka_partition AND s.generation > p.generation)
)
SELECT CAST(coalesce(sum(charges), 0) AS BIGINT),
  CAST(coalesce(sum(CASE WHEN wrong IS NULL THEN 0 ELSE charges END), 0) AS BIGINT),
  min(CASE WHEN wrong IS NOT NULL THEN topic || ' ' || CAST(kafka_partition AS TEXT) || ': offsets '
    || CAST(first_offset AS TEXT) || ' to ' || CAST(last_offset AS TEXT) || ' were priced by generation '
    || CAST(generation AS TEXT) || ', but ' || wrong END)
FROM judged",
    },
];
