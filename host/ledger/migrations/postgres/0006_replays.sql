-- Dead letters that were tried again or dropped. An open letter is neither.

ALTER TABLE dead_letters
  -- NULL when the event could not be read.
  ADD COLUMN campaign_id text COLLATE "C",
  -- How often it was tried and failed.
  ADD COLUMN attempts bigint NOT NULL DEFAULT 1,
  -- Charged, taken in or skipped after all; its fate is not a dead letter any more.
  ADD COLUMN replayed_at timestamptz,
  -- Given up by a person; it stays a dead letter.
  ADD COLUMN dropped_at timestamptz;
CREATE INDEX dead_letters_open ON dead_letters (topic, incarnation, kafka_partition, kafka_offset)
  WHERE replayed_at IS NULL AND dropped_at IS NULL;
CREATE INDEX dead_letters_campaign ON dead_letters (campaign_id) WHERE campaign_id IS NOT NULL;

UPDATE dead_letters d SET campaign_id = c.campaign_id FROM compensations c
WHERE c.topic = d.topic AND c.incarnation = d.incarnation AND c.kafka_partition = d.kafka_partition
  AND c.kafka_offset = d.kafka_offset;

-- Letters that are dead letters no more: with those that still are, what was ever counted as dead.
INSERT INTO alert_marks (name, value, at) VALUES ('letters_replayed', 0, 'epoch');

-- The rare part of a plan; its dead letters know their campaigns.
CREATE FUNCTION tollgate_rare_v2(
  hot boolean,
  c_campaigns text[], c_versions bigint[], c_new_versions bigint[], c_statuses text[], c_reasons text[], c_days integer[],
  x_campaigns text[], x_days integer[], x_kinds text[], x_levels bigint[], x_budgets bigint[], x_rounds bigint[],
  x_advertisers text[], x_usages bigint[], x_spents bigint[], x_reasons text[],
  o_keys text[], o_kinds text[], o_payloads text[],
  l_topics text[], l_incarnations integer[], l_partitions integer[], l_offsets bigint[], l_codes text[], l_stages text[],
  l_sentences text[], l_at_ms bigint[], l_keys bytea[], l_payloads bytea[], l_headers text[], l_generations bigint[],
  l_campaigns text[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tollgate_rare_v1(hot, c_campaigns, c_versions, c_new_versions, c_statuses, c_reasons, c_days, x_campaigns,
    x_days, x_kinds, x_levels, x_budgets, x_rounds, x_advertisers, x_usages, x_spents, x_reasons, o_keys, o_kinds,
    o_payloads, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');
  INSERT INTO dead_letters (topic, incarnation, kafka_partition, kafka_offset, code, stage, sentence, record_at_ms,
    message_key, payload, headers, generation, campaign_id)
  SELECT w.topic, w.incarnation, w.part, w.off, w.code, w.stage, w.sentence, w.at_ms, w.key, w.payload,
    w.headers::jsonb, w.generation, w.campaign
  FROM unnest(l_topics, l_incarnations, l_partitions, l_offsets, l_codes, l_stages, l_sentences, l_at_ms, l_keys,
    l_payloads, l_headers, l_generations, l_campaigns)
    AS w (topic, incarnation, part, off, code, stage, sentence, at_ms, key, payload, headers, generation, campaign);
END $$;
