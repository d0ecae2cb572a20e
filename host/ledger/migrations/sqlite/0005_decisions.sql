-- What rules were given and what they answered, kept for as long as it has to be explained.

-- One row for each partition that a batch has moved, and for each compensation that is settled. The bytes stand in the
-- first row of a batch; its other rows (`lead_...`) name that one. The bytes are compressed already.
CREATE TABLE decision_records (
  first_offset     INTEGER NOT NULL,
  next_offset      INTEGER NOT NULL,
  generation       INTEGER NOT NULL,
  decided_at       INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  incarnation      INTEGER NOT NULL,
  kafka_partition  INTEGER NOT NULL,
  lead_incarnation INTEGER,
  lead_partition   INTEGER,
  lead_next_offset INTEGER,
  topic            TEXT NOT NULL,
  lead_topic       TEXT,
  body             BLOB,
  -- Of dead letters that were decided on again: it lies within the span of the batch that they came in.
  replay           INTEGER NOT NULL DEFAULT 0,
  CONSTRAINT decision_records_body CHECK ((body IS NULL) = (lead_topic IS NOT NULL))
) STRICT;
-- The first span of a partition that ends behind an offset is the only one that can hold it.
CREATE INDEX decision_records_span ON decision_records (topic, incarnation, kafka_partition, next_offset);
CREATE INDEX decision_records_decided ON decision_records (decided_at);

-- Refunds of a day, for statements.
CREATE INDEX ad_balance_histories_refunds ON ad_balance_histories (advertiser_id, budget_day) WHERE type = 'REFUND';

-- Charges by their instant, for statements. Clicks arrive nearly in order.
CREATE INDEX ad_balance_histories_occurred ON ad_balance_histories (occurred_at) WHERE type = 'DEDUCT';
