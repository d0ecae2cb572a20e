-- History at size: what is kept of days that were taken away. SQLite has one table for all days.

-- Sums of days that were retired.
CREATE TABLE retired_history (
  budget_day      TEXT NOT NULL,
  advertiser_id   TEXT NOT NULL,
  campaign_id     TEXT NOT NULL,
  type            TEXT NOT NULL,
  kafka_topic     TEXT NOT NULL,
  incarnation     INTEGER NOT NULL,
  kafka_partition INTEGER NOT NULL,
  row_count       INTEGER NOT NULL,
  amount_micros   INTEGER NOT NULL,
  PRIMARY KEY (budget_day, advertiser_id, campaign_id, type, kafka_topic, incarnation, kafka_partition)
) STRICT, WITHOUT ROWID;

-- The loose ends of the chain of balances in what was retired: how often a balance was reached more than left.
CREATE TABLE retired_points (
  advertiser_id TEXT NOT NULL,
  point_micros  INTEGER NOT NULL,
  surplus       INTEGER NOT NULL,
  PRIMARY KEY (advertiser_id, point_micros)
) STRICT, WITHOUT ROWID;

-- Rows of retired days, when the site keeps what it retires.
CREATE TABLE expired_history AS SELECT * FROM ad_balance_histories WHERE false;

-- No row is in a partition that is only there for days that nobody has foreseen.
CREATE VIEW ad_balance_histories_default AS SELECT * FROM ad_balance_histories WHERE false;

-- History as sums: rows count for themselves.
CREATE VIEW history_sums AS
SELECT budget_day, advertiser_id, campaign_id, type, kafka_topic, incarnation, kafka_partition, 1 AS row_count,
  amount_micros FROM ad_balance_histories
UNION ALL
SELECT budget_day, advertiser_id, campaign_id, type, kafka_topic, incarnation, kafka_partition, row_count,
  amount_micros FROM retired_history;

-- The day that a refund counts to, and whether its history row, or the charge, is in a day that was retired.
ALTER TABLE compensations ADD COLUMN budget_day TEXT;
ALTER TABLE compensations ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;
ALTER TABLE refunded_charges ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;
UPDATE compensations SET budget_day = h.budget_day FROM ad_balance_histories h
WHERE compensations.state = 'REFUNDED' AND h.type = 'REFUND' AND h.kafka_partition = compensations.kafka_partition
  AND h.kafka_offset = compensations.kafka_offset AND h.incarnation = compensations.incarnation
  AND h.kafka_topic = compensations.topic;
