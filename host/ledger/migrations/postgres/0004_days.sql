-- History at size: a partition for each budget day, and what is kept of days that were taken away.

ALTER TABLE ad_balance_histories RENAME TO ad_balance_histories_before;
ALTER INDEX ad_balance_histories_occurred RENAME TO ad_balance_histories_before_occurred;
-- Its rows get the index of all partitions, which holds the day as well.
DROP INDEX ad_balance_histories_record;

CREATE TABLE ad_balance_histories (
  LIKE ad_balance_histories_before INCLUDING DEFAULTS,
  CONSTRAINT ad_balance_histories_amount CHECK (
    (type = 'DEDUCT' AND amount_micros <= 0) OR (type = 'REFUND' AND amount_micros >= 0))
) PARTITION BY RANGE (budget_day);

-- A record is charged once on a day; that it is not charged on two days follows from the counters of its partition.
-- Offsets of a partition grow, so that inserts touch few pages.
CREATE UNIQUE INDEX ad_balance_histories_record
  ON ad_balance_histories (kafka_partition, kafka_offset, incarnation, kafka_topic, budget_day);

-- Charges by their instant. Clicks arrive nearly in order, so that a summary of page ranges finds them and costs
-- charging next to nothing.
CREATE INDEX ad_balance_histories_occurred ON ad_balance_histories
  USING brin (occurred_at) WITH (pages_per_range = 32, autosummarize = on);

-- Days that nobody has foreseen.
CREATE TABLE ad_balance_histories_default PARTITION OF ad_balance_histories DEFAULT
  WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);

-- What there is becomes one partition up to its last day. Hosts make further days; these are the first ones.
DO $$
DECLARE
  today date := (now() AT TIME ZONE 'UTC')::date;
  first_day date := today - 9;
  last_day date;
BEGIN
  SELECT max(budget_day) INTO last_day FROM ad_balance_histories_before;
  IF last_day IS NULL THEN
    DROP TABLE ad_balance_histories_before;
  ELSE
    EXECUTE format('ALTER TABLE ad_balance_histories ATTACH PARTITION ad_balance_histories_before
      FOR VALUES FROM (MINVALUE) TO (%L)', last_day + 1);
    first_day := greatest(first_day, last_day + 1);
  END IF;
  FOR ahead IN 0 .. today + 7 - first_day LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF ad_balance_histories FOR VALUES FROM (%L) TO (%L)
      WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02)',
      'ad_balance_histories_' || to_char(first_day + ahead, 'YYYYMMDD'), first_day + ahead, first_day + ahead + 1);
  END LOOP;
END $$;

-- Sums of days that were retired.
CREATE TABLE retired_history (
  budget_day      date NOT NULL,
  advertiser_id   text COLLATE "C" NOT NULL,
  campaign_id     text COLLATE "C" NOT NULL,
  type            text COLLATE "C" NOT NULL,
  kafka_topic     text COLLATE "C" NOT NULL,
  incarnation     integer NOT NULL,
  kafka_partition integer NOT NULL,
  row_count       bigint NOT NULL,
  amount_micros   bigint NOT NULL,
  PRIMARY KEY (budget_day, advertiser_id, campaign_id, type, kafka_topic, incarnation, kafka_partition)
);

-- The loose ends of the chain of balances in what was retired: how often a balance was reached more than left.
CREATE TABLE retired_points (
  advertiser_id text COLLATE "C" NOT NULL,
  point_micros  bigint NOT NULL,
  surplus       bigint NOT NULL,
  PRIMARY KEY (advertiser_id, point_micros)
);

-- Rows of retired days that were not in a partition of their own, when the site keeps what it retires.
CREATE TABLE expired_history (LIKE ad_balance_histories INCLUDING DEFAULTS);

-- History as sums: rows count for themselves.
CREATE VIEW history_sums AS
SELECT budget_day, advertiser_id, campaign_id, type, kafka_topic, incarnation, kafka_partition,
  CAST(1 AS bigint) AS row_count, amount_micros FROM ad_balance_histories
UNION ALL
SELECT budget_day, advertiser_id, campaign_id, type, kafka_topic, incarnation, kafka_partition, row_count,
  amount_micros FROM retired_history;

-- The day that a refund counts to, and whether its history row, or the charge, is in a day that was retired.
ALTER TABLE compensations ADD COLUMN budget_day date, ADD COLUMN retired boolean NOT NULL DEFAULT false;
ALTER TABLE refunded_charges ADD COLUMN retired boolean NOT NULL DEFAULT false;
UPDATE compensations c SET budget_day = h.budget_day FROM ad_balance_histories h
WHERE c.state = 'REFUNDED' AND h.type = 'REFUND' AND h.kafka_partition = c.kafka_partition
  AND h.kafka_offset = c.kafka_offset AND h.incarnation = c.incarnation AND h.kafka_topic = c.topic;
