//! What must hold of compensations and refunds.

use super::{Asked, Claim};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        name: "refunds",
        claim: "every refunded compensation has one history row of its amount, and every refund its compensation",
        asked: Asked::AnyPart,
        note: false,
        sql: "
WITH paid AS (
  SELECT topic, kafka_partition AS part, kafka_offset AS off, incarnation, advertiser_id, campaign_id,
    refund_micros AS amount
  FROM compensations WHERE state = 'REFUNDED' AND NOT retired
    AND (budget_day IS NULL OR budget_day >= {day:$1}) AND ($2 = '' OR advertiser_id = $2)
), moved AS (
  SELECT kafka_topic AS topic, kafka_partition AS part, kafka_offset AS off, incarnation, advertiser_id, campaign_id,
    amount_micros AS amount
  FROM ad_balance_histories WHERE type = 'REFUND' AND budget_day >= {day:$1} AND ($2 = '' OR advertiser_id = $2)
), compared AS (
  SELECT p.topic, p.part, p.off, p.amount AS expected, m.amount AS found
  FROM paid p LEFT JOIN moved m ON m.topic = p.topic AND m.part = p.part AND m.off = p.off
    AND m.incarnation = p.incarnation AND m.advertiser_id = p.advertiser_id AND m.campaign_id = p.campaign_id
  UNION ALL
  SELECT m.topic, m.part, m.off, NULL, m.amount
  FROM moved m LEFT JOIN paid p ON m.topic = p.topic AND m.part = p.part AND m.off = p.off
    AND m.incarnation = p.incarnation AND m.advertiser_id = p.advertiser_id AND m.campaign_id = p.campaign_id
  WHERE p.amount IS NULL
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN found = expected THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN found = expected THEN NULL ELSE topic || ' ' || CAST(part AS TEXT) || ' ' || CAST(off AS TEXT)
    || ': found ' || coalesce(CAST(found AS TEXT), 'no row') || ', expected '
    || coalesce(CAST(expected AS TEXT), 'none') END)
FROM compared",
    },
    Claim {
        name: "duplicate_logs",
        claim: "every refund has its log of duplicate clicks, and every log its refund",
        asked: Asked::AnyPart,
        note: false,
        sql: "
WITH compared AS (
  SELECT c.id, c.refund_micros AS expected, l.refund_micros AS found
  FROM compensations c LEFT JOIN duplicate_click_logs l ON l.compensation_id = c.id
    AND l.advertiser_id = c.advertiser_id AND l.campaign_id = c.campaign_id
  WHERE c.state = 'REFUNDED' AND (c.budget_day IS NULL OR c.budget_day >= {day:$1})
    AND ($2 = '' OR c.advertiser_id = $2)
  UNION ALL
  SELECT l.compensation_id, NULL, l.refund_micros
  FROM duplicate_click_logs l LEFT JOIN compensations c ON c.id = l.compensation_id AND c.state = 'REFUNDED'
  WHERE c.id IS NULL AND ($2 = '' OR l.advertiser_id = $2)
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN found = expected THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN found = expected THEN NULL ELSE 'compensation ' || CAST(id AS TEXT) || ': found '
    || coalesce(CAST(found AS TEXT), 'no log') || ', expected ' || coalesce(CAST(expected AS TEXT), 'none') END)
FROM compared",
    },
    Claim {
        name: "refunded_charges",
        claim: "every charge that a log names as refunded exists, is of its campaign and is refunded once",
        asked: Asked::AnyPart,
        note: false,
        sql: "
WITH asked AS (
  SELECT id, campaign_id, state FROM compensations
  WHERE NOT retired AND (budget_day IS NULL OR budget_day >= {day:$1}) AND ($2 = '' OR advertiser_id = $2)
), named AS (
  SELECT CAST(e.value ->> 'topic' AS TEXT) AS topic, CAST(e.value ->> 'incarnation' AS INTEGER) AS incarnation,
    CAST(e.value ->> 'partition' AS INTEGER) AS part, CAST(e.value ->> 'offset' AS BIGINT) AS off,
    l.compensation_id AS id, 1 AS logged, 0 AS marked, 0 AS retired
  FROM duplicate_click_logs l JOIN asked a ON a.id = l.compensation_id CROSS JOIN {elements:l.refunded} AS e
  UNION ALL
  SELECT r.topic, r.incarnation, r.kafka_partition, r.kafka_offset, r.compensation_id, 0, 1,
    CASE WHEN r.retired THEN 1 ELSE 0 END
  FROM refunded_charges r JOIN asked a ON a.id = r.compensation_id
), charges AS (
  SELECT topic, incarnation, part, off, min(id) AS id, max(id) AS other, sum(logged) AS logged, sum(marked) AS marked,
    max(retired) AS retired
  FROM named GROUP BY topic, incarnation, part, off
), looked AS (
  SELECT n.topic, n.part, n.off, CASE WHEN h.campaign_id IS NULL AND n.retired = 0 THEN 'no such charge of the campaign'
    WHEN n.logged > 1 OR n.id <> n.other THEN 'refunded twice'
    WHEN n.logged = 0 THEN 'named by no log' WHEN n.marked = 0 THEN 'not marked as refunded' END AS wrong
  FROM charges n LEFT JOIN asked c ON c.id = n.id AND c.state = 'REFUNDED'
  LEFT JOIN ad_balance_histories h ON h.kafka_topic = n.topic AND h.incarnation = n.incarnation
    AND h.kafka_partition = n.part AND h.kafka_offset = n.off AND h.type = 'DEDUCT' AND h.campaign_id = c.campaign_id
)
SELECT count(*), count(wrong),
  min(topic || ' ' || CAST(part AS TEXT) || ' ' || CAST(off AS TEXT) || ': ' || wrong)
FROM looked",
    },
    Claim {
        name: "refund_bounds",
        claim: "no campaign-day was refunded more than it was charged",
        asked: Asked::AnyPart,
        note: false,
        sql: "
WITH moved AS (
  SELECT campaign_id AS id, budget_day AS day,
    CAST(sum(CASE WHEN type = 'REFUND' THEN amount_micros ELSE 0 END) AS BIGINT) AS refunded,
    CAST(-sum(CASE WHEN type = 'DEDUCT' THEN amount_micros ELSE 0 END) AS BIGINT) AS charged
  FROM history_sums
  WHERE budget_day >= {day:$1}
    AND ($2 = '' OR campaign_id IN (SELECT campaign_id FROM campaigns WHERE advertiser_id = $2))
  GROUP BY campaign_id, budget_day
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN refunded <= charged THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN refunded <= charged THEN NULL ELSE id || ' ' || CAST(day AS TEXT) || ': found '
    || CAST(refunded AS TEXT) || ' refunded, expected 0 to ' || CAST(charged AS TEXT) END)
FROM moved",
    },
    Claim {
        name: "retired_refunds",
        claim: "what is kept of the refunds of retired days is what their compensations were paid",
        asked: Asked::AnyPart,
        note: false,
        sql: "
WITH parts AS (
  SELECT campaign_id AS id, budget_day AS day, refund_micros AS expected, 0 AS found
  FROM compensations WHERE retired AND ($2 = '' OR advertiser_id = $2)
  UNION ALL
  SELECT campaign_id, budget_day, 0, amount_micros
  FROM retired_history WHERE type = 'REFUND' AND ($2 = '' OR advertiser_id = $2)
), compared AS (
  SELECT id, day, sum(expected) AS expected, sum(found) AS found
  FROM parts WHERE day IS NULL OR day >= {day:$1} GROUP BY id, day
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN found = expected THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN found = expected THEN NULL ELSE id || coalesce(' ' || CAST(day AS TEXT), '') || ': found '
    || CAST(found AS TEXT) || ', expected ' || CAST(expected AS TEXT) END)
FROM compared",
    },
    Claim {
        name: "refused_refunds",
        claim: "exactly the compensations that were rejected or expired are dead letters",
        asked: Asked::AnyPart,
        note: false,
        sql: "
WITH looked AS (
  SELECT c.id, c.state, d.code, CASE WHEN c.state IN ('REJECTED', 'EXPIRED') THEN d.code IS NOT NULL
    ELSE d.code IS NULL END AS good
  FROM compensations c LEFT JOIN dead_letters d ON d.topic = c.topic AND d.incarnation = c.incarnation
    AND d.kafka_partition = c.kafka_partition AND d.kafka_offset = c.kafka_offset AND d.replayed_at IS NULL
  WHERE $2 = '' OR c.advertiser_id = $2
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN good THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN good THEN NULL ELSE 'compensation ' || CAST(id AS TEXT) || ': ' || state || ' with '
    || coalesce('the dead letter ' || code, 'no dead letter') END)
FROM looked",
    },
    Claim {
        name: "repeated_refunds",
        claim: "every repeated compensation has one that it repeats",
        asked: Asked::AnyPart,
        note: false,
        sql: "
WITH firsts AS (SELECT identity FROM compensations WHERE state <> 'REPEATED' GROUP BY identity),
looked AS (
  SELECT c.id, f.identity IS NOT NULL AS good
  FROM compensations c LEFT JOIN firsts f ON f.identity = c.identity
  WHERE c.state = 'REPEATED' AND ($2 = '' OR c.advertiser_id = $2)
)
SELECT count(*), CAST(coalesce(sum(CASE WHEN good THEN 0 ELSE 1 END), 0) AS BIGINT),
  min(CASE WHEN good THEN NULL ELSE 'compensation ' || CAST(id AS TEXT) || ': repeats none' END)
FROM looked",
    },
    Claim {
        name: "waiting_refunds",
        claim: "compensations that wait are only counted",
        asked: Asked::AnyPart,
        note: true,
        sql: "
SELECT count(*), CAST(coalesce(sum(CASE WHEN state = 'WAITING' THEN 1 ELSE 0 END), 0) AS BIGINT),
  CASE WHEN min(CASE WHEN state = 'WAITING' THEN {us:received_at} END) IS NOT NULL THEN 'the oldest waits for '
    || CAST(({clock} - min(CASE WHEN state = 'WAITING' THEN {us:received_at} END)) / 1000000 AS TEXT) || ' s' END
FROM compensations WHERE $2 = '' OR advertiser_id = $2",
    },
];
