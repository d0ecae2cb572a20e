-- The topics, as every statement reads them. Run before a statement, in the same session.
-- A record is one JSON object in UTF-8, or it is nobody's event (`event-json` in README.md). Columns are what a statement or
-- tollgate reads: one that is given twice, or cannot be what its table says, costs the whole event. In ad_events that is
-- as in tollgate; elsewhere all is text until a statement reads it.

SET 'table.local-time-zone' = 'UTC';
-- Events are read and parsed side by side, and then counted by one task after the other. When all partitions were silent and
-- the first of them speaks again, tasks side by side do not hear of it together: what one of them still holds would come too
-- late for the next ones, and be lost.
SET 'parallelism.default' = '1';
-- A partition that is silent must not hold up the windows of all others.
SET 'table.exec.source.idle-timeout' = '${IDLE_TIMEOUT_S} s';
SET 'execution.checkpointing.interval' = '${CHECKPOINT_INTERVAL_MS} ms';
SET 'execution.checkpointing.mode' = 'EXACTLY_ONCE';
-- A checkpoint outlives its job, so that the next one can go on there.
SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';
-- Servers that are away for a while cost attempts, not the job.
SET 'restart-strategy.type' = 'exponential-delay';
SET 'restart-strategy.exponential-delay.initial-backoff' = '1 s';
SET 'restart-strategy.exponential-delay.max-backoff' = '1 min';

CREATE TEMPORARY SYSTEM FUNCTION EVENT_TIME AS 'tollgate.flink.EventTime';

-- What all events have. An event whose time cannot be used gets the beginning of time, which moves no watermark, and no
-- statement reads it; unusable.sql says what became of it. An event that is ahead of its record moves the watermark no
-- further than its record does, or whoever has the right time would be late.
CREATE TEMPORARY TABLE events (
  `timestamp` STRING,
  `partition` INT METADATA VIRTUAL,
  `offset` BIGINT METADATA VIRTUAL,
  record_at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  -- UTC, with microseconds
  occurred_at AS EVENT_TIME(`timestamp`, record_at, ${EVENT_AGE_HOURS_MAX}, ${EVENT_AHEAD_SECONDS_MAX}),
  ts AS COALESCE(
    CAST(EVENT_TIME(`timestamp`, record_at, ${EVENT_AGE_HOURS_MAX}, ${EVENT_AHEAD_SECONDS_MAX}) AS TIMESTAMP(3)),
    TIMESTAMP '1970-01-01 00:00:00'),
  WATERMARK FOR ts AS LEAST(ts, CAST(record_at AS TIMESTAMP(3))) - INTERVAL '${OUT_OF_ORDER_S}' SECOND(3)
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
  'properties.security.protocol' = '${KAFKA_SECURITY_PROTOCOL}',
  'properties.sasl.mechanism' = '${KAFKA_SASL_MECHANISM}',
  'properties.sasl.jaas.config' = '${KAFKA_SASL_JAAS_CONFIG}',
  -- Without a checkpoint a statement reads its topics again from the beginning; its results stay the same.
  'scan.startup.mode' = 'earliest-offset',
  'scan.parallelism' = '${SCAN_PARALLELISM}',
  'format' = 'event-json'
);

-- The columns that tollgate reads, and as it reads them: a click that it cannot charge is not counted here either.
CREATE TEMPORARY TABLE ad_events (
  event_type STRING,
  device_id STRING,
  ad_id STRING,
  campaign_id STRING,
  advertiser_id STRING,
  product_id STRING,
  placement STRING,
  bid_price DECIMAL(19, 6),
  actual_price DECIMAL(19, 6),
  search_term STRING,
  category STRING
) WITH ('topic' = '${AD_EVENTS_TOPIC}', 'event-json.numbers-as-text' = 'false') LIKE events;

CREATE TEMPORARY TABLE conversion_events (
  device_id STRING,
  order_id STRING,
  product_id STRING,
  revenue_amount STRING,
  conversion_type STRING,
  attribution_window STRING
) WITH ('topic' = '${CONVERSION_EVENTS_TOPIC}') LIKE events;

-- The time of a campaign event is when it comes into force, while the watermark goes by when events were written: so an
-- event that is written today about next week is not late next week, and moves nothing until then. Here, too, the record
-- bounds it.
CREATE TEMPORARY TABLE campaign_events (
  event_type STRING,
  campaign_id STRING,
  placement STRING,
  category STRING,
  bid_price STRING,
  status STRING,
  approval_status STRING,
  effective_from STRING,
  `partition` INT METADATA VIRTUAL,
  `offset` BIGINT METADATA VIRTUAL,
  record_at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  occurred_at AS EVENT_TIME(`timestamp`, record_at, ${EVENT_AGE_HOURS_MAX}, ${EVENT_AHEAD_SECONDS_MAX}),
  in_force_at AS GREATEST(
    COALESCE(
      CAST(EVENT_TIME(`timestamp`, record_at, ${EVENT_AGE_HOURS_MAX}, ${EVENT_AHEAD_SECONDS_MAX}) AS TIMESTAMP(3)),
      TIMESTAMP '1970-01-01 00:00:00'),
    COALESCE(CAST(EVENT_TIME(effective_from) AS TIMESTAMP(3)), TIMESTAMP '1970-01-01 00:00:00')),
  WATERMARK FOR in_force_at AS LEAST(
    COALESCE(
      CAST(EVENT_TIME(`timestamp`, record_at, ${EVENT_AGE_HOURS_MAX}, ${EVENT_AHEAD_SECONDS_MAX}) AS TIMESTAMP(3)),
      TIMESTAMP '1970-01-01 00:00:00'),
    CAST(record_at AS TIMESTAMP(3))) - INTERVAL '${OUT_OF_ORDER_S}' SECOND(3)
) WITH ('topic' = '${CAMPAIGN_EVENTS_TOPIC}') LIKE events (EXCLUDING ALL INCLUDING OPTIONS);
