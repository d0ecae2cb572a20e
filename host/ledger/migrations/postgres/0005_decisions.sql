-- What rules were given and what they answered, kept for as long as it has to be explained.

-- One row for each partition that a batch has moved, and for each compensation that is settled. The bytes stand in the
-- first row of a batch; its other rows (`lead_...`) name that one. The bytes are compressed already.
CREATE TABLE decision_records (
  first_offset     bigint NOT NULL,
  next_offset      bigint NOT NULL,
  generation       bigint NOT NULL,
  decided_at       timestamptz NOT NULL DEFAULT now(),
  incarnation      integer NOT NULL,
  kafka_partition  integer NOT NULL,
  lead_incarnation integer,
  lead_partition   integer,
  lead_next_offset bigint,
  topic            text COLLATE "C" NOT NULL,
  lead_topic       text COLLATE "C",
  body             bytea,
  -- Of dead letters that were decided on again: it lies within the span of the batch that they came in.
  replay           boolean NOT NULL DEFAULT false,
  CONSTRAINT decision_records_body CHECK ((body IS NULL) = (lead_topic IS NOT NULL))
) PARTITION BY RANGE (decided_at);
ALTER TABLE decision_records ALTER COLUMN body SET STORAGE EXTERNAL;

-- The first span of a partition that ends behind an offset is the only one that can hold it.
CREATE INDEX decision_records_span ON decision_records (topic, incarnation, kafka_partition, next_offset);

-- Takes what is decided on a day that has no table yet, so that a host that is late with its upkeep charges on.
CREATE TABLE decision_records_default PARTITION OF decision_records DEFAULT;

-- `hot` is the answer of the part that moves progress and money, so that it runs first.
CREATE FUNCTION tollgate_record_v1(
  hot boolean, gen bigint, topics text[], partitions integer[], incarnations integer[], firsts bigint[], nexts bigint[],
  body_ bytea
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF body_ IS NOT NULL THEN
    INSERT INTO decision_records (first_offset, next_offset, generation, incarnation, kafka_partition, topic,
      lead_incarnation, lead_partition, lead_next_offset, lead_topic, body)
    SELECT w.first, w.next, gen, w.incarnation, w.part, w.topic,
      CASE WHEN w.at > 1 THEN incarnations[1] END, CASE WHEN w.at > 1 THEN partitions[1] END,
      CASE WHEN w.at > 1 THEN nexts[1] END, CASE WHEN w.at > 1 THEN topics[1] END, CASE WHEN w.at = 1 THEN body_ END
    FROM unnest(topics, partitions, incarnations, firsts, nexts) WITH ORDINALITY
      AS w (topic, part, incarnation, first, next, at);
  END IF;
  RETURN hot;
END $$;

-- Refunds of a day, for statements.
CREATE INDEX ad_balance_histories_refunds ON ad_balance_histories (advertiser_id, budget_day) WHERE type = 'REFUND';
