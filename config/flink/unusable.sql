-- Events that no statement can use -> {topic}.unusable, with the reason. The four statements pass them over.
SET 'pipeline.name' = 'tollgate-unusable';
SET 'execution.checkpointing.dir' = '${CHECKPOINT_DIR}/unusable';
SET 'table.exec.state.ttl' = '0';

-- The tables as all statements read them, with what they refuse. Nothing is remembered here, so the group's own place in the
-- log is enough.
CREATE TEMPORARY TABLE all_campaign_events (
  refusal STRING METADATA FROM 'value.refusal' VIRTUAL,
  payload STRING METADATA FROM 'value.payload' VIRTUAL
) WITH (
  'properties.group.id' = '${UNUSABLE_GROUP}',
  'scan.startup.mode' = 'group-offsets',
  'properties.auto.offset.reset' = 'earliest',
  'event-json.keep-refused' = 'true'
) LIKE campaign_events (EXCLUDING WATERMARKS OVERWRITING OPTIONS);

CREATE TEMPORARY TABLE all_ad_events (
  refusal STRING METADATA FROM 'value.refusal' VIRTUAL,
  payload STRING METADATA FROM 'value.payload' VIRTUAL
) WITH (
  'properties.group.id' = '${UNUSABLE_GROUP}',
  'scan.startup.mode' = 'group-offsets',
  'properties.auto.offset.reset' = 'earliest',
  'event-json.keep-refused' = 'true'
) LIKE ad_events (EXCLUDING WATERMARKS OVERWRITING OPTIONS);

CREATE TEMPORARY TABLE all_conversion_events (
  refusal STRING METADATA FROM 'value.refusal' VIRTUAL,
  payload STRING METADATA FROM 'value.payload' VIRTUAL
) WITH (
  'properties.group.id' = '${UNUSABLE_GROUP}',
  'scan.startup.mode' = 'group-offsets',
  'properties.auto.offset.reset' = 'earliest',
  'event-json.keep-refused' = 'true'
) LIKE conversion_events (EXCLUDING WATERMARKS OVERWRITING OPTIONS);

CREATE TEMPORARY TABLE unusable_events (
  topic STRING,
  `partition` INT,
  `offset` BIGINT,
  reason STRING,
  payload STRING,
  side_topic STRING METADATA FROM 'topic'
) WITH (
  'connector' = 'kafka',
  'topic' = '${CAMPAIGN_EVENTS_TOPIC}${UNUSABLE_SUFFIX};${AD_EVENTS_TOPIC}${UNUSABLE_SUFFIX};${CONVERSION_EVENTS_TOPIC}${UNUSABLE_SUFFIX}',
  'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
  'properties.security.protocol' = '${KAFKA_SECURITY_PROTOCOL}',
  'properties.sasl.mechanism' = '${KAFKA_SASL_MECHANISM}',
  'properties.sasl.jaas.config' = '${KAFKA_SASL_JAAS_CONFIG}',
  'sink.delivery-guarantee' = 'at-least-once',
  'format' = 'json'
);

CREATE TEMPORARY VIEW timed AS
SELECT '${CAMPAIGN_EVENTS_TOPIC}' AS topic, `partition`, `offset`, payload, refusal, `timestamp`, occurred_at,
  CASE
    WHEN COALESCE(campaign_id, '') = '' THEN 'CAMPAIGN_ID_MISSING'
    WHEN effective_from IS NOT NULL AND EVENT_TIME(effective_from) IS NULL THEN 'EFFECTIVE_FROM_UNPARSABLE'
    WHEN bid_price IS NOT NULL AND TRY_CAST(bid_price AS DECIMAL(18, 6)) IS NULL THEN 'BID_PRICE_IS_NO_NUMBER'
  END AS reason
FROM all_campaign_events
UNION ALL
SELECT '${AD_EVENTS_TOPIC}', `partition`, `offset`, payload, refusal, `timestamp`, occurred_at,
  CASE
    WHEN COALESCE(event_type, '') = '' THEN 'EVENT_TYPE_MISSING'
    WHEN COALESCE(campaign_id, '') = '' THEN 'CAMPAIGN_ID_MISSING'
    WHEN event_type = 'CLICK' AND COALESCE(advertiser_id, '') = '' THEN 'ADVERTISER_ID_MISSING'
    WHEN event_type = 'CLICK' AND COALESCE(ad_id, '') = '' THEN 'AD_ID_MISSING'
    WHEN event_type = 'CLICK' AND COALESCE(device_id, '') = '' THEN 'DEVICE_ID_MISSING'
  END
FROM all_ad_events
UNION ALL
SELECT '${CONVERSION_EVENTS_TOPIC}', `partition`, `offset`, payload, refusal, `timestamp`, occurred_at,
  CASE
    WHEN COALESCE(device_id, '') = '' THEN 'DEVICE_ID_MISSING'
    WHEN COALESCE(conversion_type, '') = '' THEN 'CONVERSION_TYPE_MISSING'
  END
FROM all_conversion_events;

CREATE TEMPORARY VIEW judged AS
SELECT topic, `partition`, `offset`, payload,
  CASE
    WHEN refusal IS NOT NULL THEN refusal
    WHEN COALESCE(`timestamp`, '') = '' THEN 'TIMESTAMP_MISSING'
    WHEN EVENT_TIME(`timestamp`) IS NULL THEN 'TIMESTAMP_UNPARSABLE'
    WHEN occurred_at IS NULL THEN 'TIMESTAMP_OUT_OF_RANGE'
    ELSE reason
  END AS reason
FROM timed;

-- A long payload is cut, so that what tells of it fits into a record.
INSERT INTO unusable_events
SELECT topic, `partition`, `offset`, reason, LEFT(payload, 100000), topic || '${UNUSABLE_SUFFIX}'
FROM judged
WHERE reason IS NOT NULL;
