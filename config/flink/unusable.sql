-- Events that no statement can use -> {topic}.unusable, with the reason. The four statements pass them over.
SET 'pipeline.name' = 'tollgate-unusable';
SET 'execution.checkpointing.dir' = '${CHECKPOINT_DIR}/unusable';
SET 'table.exec.state.ttl' = '0';

CREATE TEMPORARY TABLE records (
  payload STRING,
  topic STRING METADATA VIRTUAL,
  `partition` INT METADATA VIRTUAL,
  `offset` BIGINT METADATA VIRTUAL,
  record_at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
) WITH (
  'connector' = 'kafka',
  'topic' = '${CAMPAIGN_EVENTS_TOPIC};${AD_EVENTS_TOPIC};${CONVERSION_EVENTS_TOPIC}',
  'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
  'properties.security.protocol' = '${KAFKA_SECURITY_PROTOCOL}',
  'properties.sasl.mechanism' = '${KAFKA_SASL_MECHANISM}',
  'properties.sasl.jaas.config' = '${KAFKA_SASL_JAAS_CONFIG}',
  'properties.group.id' = '${UNUSABLE_GROUP}',
  -- Nothing is remembered here, so the group's own place in the log is enough.
  'scan.startup.mode' = 'group-offsets',
  'properties.auto.offset.reset' = 'earliest',
  'scan.parallelism' = '${SCAN_PARALLELISM}',
  'format' = 'raw'
);

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

CREATE TEMPORARY VIEW judged AS
SELECT topic, `partition`, `offset`, payload,
  CASE
    WHEN payload IS NOT JSON OBJECT THEN 'NOT_A_JSON_OBJECT'
    WHEN JSON_VALUE(payload, '$.timestamp') IS NULL THEN 'TIMESTAMP_MISSING'
    WHEN EVENT_TIME(JSON_VALUE(payload, '$.timestamp')) IS NULL THEN 'TIMESTAMP_UNPARSABLE'
    WHEN EVENT_TIME(JSON_VALUE(payload, '$.timestamp'), record_at, ${EVENT_AGE_HOURS_MAX}, ${EVENT_AHEAD_SECONDS_MAX}) IS NULL
      THEN 'TIMESTAMP_OUT_OF_RANGE'
    WHEN topic = '${CONVERSION_EVENTS_TOPIC}' THEN CASE
      WHEN COALESCE(JSON_VALUE(payload, '$.device_id'), '') = '' THEN 'DEVICE_ID_MISSING'
      WHEN COALESCE(JSON_VALUE(payload, '$.conversion_type'), '') = '' THEN 'CONVERSION_TYPE_MISSING'
    END
    WHEN COALESCE(JSON_VALUE(payload, '$.campaign_id'), '') = '' THEN 'CAMPAIGN_ID_MISSING'
    WHEN topic = '${CAMPAIGN_EVENTS_TOPIC}' THEN CASE
      WHEN JSON_VALUE(payload, '$.effective_from') IS NOT NULL AND EVENT_TIME(JSON_VALUE(payload, '$.effective_from')) IS NULL
        THEN 'EFFECTIVE_FROM_UNPARSABLE'
      WHEN JSON_VALUE(payload, '$.bid_price') IS NOT NULL
          AND TRY_CAST(JSON_VALUE(payload, '$.bid_price') AS DECIMAL(18, 6)) IS NULL
        THEN 'BID_PRICE_IS_NO_NUMBER'
    END
    WHEN JSON_VALUE(payload, '$.event_type') = 'CLICK' THEN CASE
      WHEN COALESCE(JSON_VALUE(payload, '$.advertiser_id'), '') = '' THEN 'ADVERTISER_ID_MISSING'
      WHEN COALESCE(JSON_VALUE(payload, '$.ad_id'), '') = '' THEN 'AD_ID_MISSING'
      WHEN COALESCE(JSON_VALUE(payload, '$.device_id'), '') = '' THEN 'DEVICE_ID_MISSING'
    END
  END AS reason
FROM records;

INSERT INTO unusable_events
SELECT topic, `partition`, `offset`, reason, payload, topic || '${UNUSABLE_SUFFIX}'
FROM judged
WHERE reason IS NOT NULL;
