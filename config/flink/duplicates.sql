-- Clicks of ad-events -> compensation-events, one event per device, ad and window that has duplicates.
SET 'pipeline.name' = 'tollgate-duplicates';
SET 'execution.checkpointing.dir' = '${CHECKPOINT_DIR}/duplicates';
SET 'table.exec.state.ttl' = '0';

CREATE TEMPORARY TABLE compensation_events (
  `timestamp` STRING,
  advertiser_id STRING,
  campaign_id STRING,
  ad_id STRING,
  device_id STRING,
  duplicate_click_count BIGINT,
  refund_amount DECIMAL(38, 6),
  original_click_timestamps ARRAY<STRING>,
  detection_window STRING,
  reason STRING,
  compensation_type STRING
) WITH (
  'connector' = 'kafka',
  'topic' = '${COMPENSATION_EVENTS_TOPIC}',
  'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
  'properties.security.protocol' = '${KAFKA_SECURITY_PROTOCOL}',
  'properties.sasl.mechanism' = '${KAFKA_SASL_MECHANISM}',
  'properties.sasl.jaas.config' = '${KAFKA_SASL_JAAS_CONFIG}',
  -- An event is readable when the checkpoint behind it stands.
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = '${DUPLICATES_TRANSACTIONAL_ID}',
  -- The greatest that a broker allows as it comes.
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'raw',
  'key.fields' = 'advertiser_id',
  'value.format' = 'json',
  'value.json.encode.decimal-as-plain-number' = 'true'
);

-- The clicks that the host charges. `place` orders the clicks of a device on an ad: by time, then as they stand in the log;
-- behind it follows the timestamp as it was written, by which the host finds the charge.
CREATE TEMPORARY VIEW charged_clicks AS
SELECT
  advertiser_id, campaign_id, ad_id, device_id, `timestamp`, ts,
  COALESCE(actual_price, bid_price) AS price,
  CAST(occurred_at AS STRING) || LPAD(CAST(`partition` AS STRING), 5, '0') || LPAD(CAST(`offset` AS STRING), 19, '0') AS place
FROM ad_events /*+ OPTIONS('properties.group.id' = '${DUPLICATES_GROUP}') */
WHERE event_type = 'CLICK' AND occurred_at IS NOT NULL
  AND advertiser_id <> '' AND campaign_id <> '' AND ad_id <> '' AND device_id <> '';

-- Of each click the first one of its device on its ad within the time before it: itself, when it is wanted. The range slides
-- with each click, so there is no edge that a duplicate could fall over. A click that names no price is worth the greatest
-- one among them.
CREATE TEMPORARY VIEW repeats AS
SELECT *, MIN(place || `timestamp`) OVER range_before AS first_place, MAX(price) OVER range_before AS greatest_price
FROM charged_clicks
WINDOW range_before AS (
  PARTITION BY advertiser_id, campaign_id, ad_id, device_id ORDER BY ts
  RANGE BETWEEN INTERVAL '${DUPLICATE_RANGE}' HOUR TO SECOND(3) PRECEDING AND CURRENT ROW
);

CREATE TEMPORARY VIEW duplicates AS
SELECT advertiser_id, campaign_id, ad_id, device_id, `timestamp`, ts, COALESCE(price, greatest_price) AS price, place,
  SUBSTRING(place, 1, 26) AS instant, first_place
FROM repeats
WHERE place || `timestamp` > first_place;

-- Duplicates by their places in the window, and among those of their instant.
CREATE TEMPORARY VIEW numbered_at_instants AS
SELECT * FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY window_start, window_end, advertiser_id, campaign_id, ad_id, device_id, instant ORDER BY place
  ) AS nth_at_instant
  FROM TABLE(TUMBLE(TABLE duplicates, DESCRIPTOR(ts), INTERVAL '${DUPLICATES_WINDOW}' HOUR TO SECOND))
)
WHERE nth_at_instant <= 1000000;

CREATE TEMPORARY VIEW numbered AS
SELECT * FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY window_start, window_end, advertiser_id, campaign_id, ad_id, device_id ORDER BY place
  ) AS nth
  FROM numbered_at_instants
)
WHERE nth <= 1000000;

-- The host reads ${DUPLICATES_PER_EVENT_MAX} duplicates and their first click in one event; who clicks more in a window makes more events.
-- An instant is whole in one of them, the one in which it begins: the host knows an event again by its timestamps, and
-- could not tell two events about one instant from one that came twice. So the last instant of an event may have more
-- duplicates than there is room to name; the event counts and sums them all the same. Duplicates that still have no price
-- are worth the greatest one of the event. An event in which nobody names a price claims 0, which says so.
INSERT INTO compensation_events
SELECT
  DATE_FORMAT(window_end, 'yyyy-MM-dd''T''HH:mm:ss''Z'''),
  advertiser_id, campaign_id, ad_id, device_id,
  COUNT(*) + 1,
  CAST(COALESCE(SUM(price), 0) + (COUNT(*) - COUNT(price)) * COALESCE(MAX(price), 0) AS DECIMAL(38, 6)),
  ARRAY_CONCAT(
    ARRAY[SUBSTRING(MIN(first_place), 51)],
    ARRAY_AGG(`timestamp`) FILTER (
      WHERE (nth - 1) / ${DUPLICATES_PER_EVENT_MAX} = (nth - nth_at_instant) / ${DUPLICATES_PER_EVENT_MAX})
  ),
  '${DETECTION_WINDOW}',
  'DUPLICATE_CLICK_DETECTED',
  'BALANCE_REFUND'
FROM numbered
GROUP BY window_start, window_end, advertiser_id, campaign_id, ad_id, device_id,
  (nth - nth_at_instant) / ${DUPLICATES_PER_EVENT_MAX};
