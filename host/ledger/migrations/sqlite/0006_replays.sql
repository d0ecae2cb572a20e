-- Dead letters that were tried again or dropped. An open letter is neither.

-- NULL when the event could not be read.
ALTER TABLE dead_letters ADD COLUMN campaign_id TEXT;
-- How often it was tried and failed.
ALTER TABLE dead_letters ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
-- Charged, taken in or skipped after all; its fate is not a dead letter any more.
ALTER TABLE dead_letters ADD COLUMN replayed_at INTEGER;
-- Given up by a person; it stays a dead letter.
ALTER TABLE dead_letters ADD COLUMN dropped_at INTEGER;
CREATE INDEX dead_letters_open ON dead_letters (topic, incarnation, kafka_partition, kafka_offset)
  WHERE replayed_at IS NULL AND dropped_at IS NULL;
CREATE INDEX dead_letters_campaign ON dead_letters (campaign_id) WHERE campaign_id IS NOT NULL;

UPDATE dead_letters AS d SET campaign_id = c.campaign_id FROM compensations c
WHERE c.topic = d.topic AND c.incarnation = d.incarnation AND c.kafka_partition = d.kafka_partition
  AND c.kafka_offset = d.kafka_offset;

-- Letters that are dead letters no more: with those that still are, what was ever counted as dead.
INSERT INTO alert_marks (name, value, at) VALUES ('letters_replayed', 0, 0);
