-- ad-events -> metrics:{campaign_id}, a hash with the figures of the last whole window.
SET 'pipeline.name' = 'tollgate-performance';
SET 'execution.checkpointing.dir' = '${CHECKPOINT_DIR}/performance';
SET 'table.exec.state.ttl' = '0';

CREATE TEMPORARY TABLE metrics (
  campaign_id STRING,
  window_start TIMESTAMP(3),
  window_end TIMESTAMP(3),
  impressions BIGINT,
  clicks BIGINT,
  conversions BIGINT,
  ctr DECIMAL(18, 6),
  cvr DECIMAL(18, 6),
  PRIMARY KEY (campaign_id) NOT ENFORCED
) WITH (
  'connector' = 'redis',
  'url' = '${REDIS_URL}',
  'username' = '${REDIS_USERNAME}',
  'password' = '${REDIS_PASSWORD}',
  'command' = 'HSET',
  'key' = '${METRICS_PREFIX}{campaign_id}',
  -- What is computed again after a restart does not replace what is newer, and lives no longer: `ttl` counts from there.
  'newest-by' = 'window_end',
  'ttl' = '${METRICS_TTL_S} s'
);

CREATE TEMPORARY VIEW campaign_actions AS
SELECT campaign_id, event_type, ts
FROM ad_events /*+ OPTIONS('properties.group.id' = '${PERFORMANCE_GROUP}') */
WHERE occurred_at IS NOT NULL AND campaign_id <> '' AND event_type IN ('IMPRESSION', 'CLICK', 'CONVERSION');

CREATE TEMPORARY VIEW counts AS
SELECT
  campaign_id, window_start, window_end,
  COUNT(*) FILTER (WHERE event_type = 'IMPRESSION') AS impressions,
  COUNT(*) FILTER (WHERE event_type = 'CLICK') AS clicks,
  COUNT(*) FILTER (WHERE event_type = 'CONVERSION') AS conversions
FROM TABLE(TUMBLE(TABLE campaign_actions, DESCRIPTOR(ts), INTERVAL '${METRICS_WINDOW}' HOUR TO SECOND))
GROUP BY campaign_id, window_start, window_end;

-- A rate without anything to divide by is 0.
INSERT INTO metrics
SELECT
  campaign_id, window_start, window_end, impressions, clicks, conversions,
  COALESCE(CAST(clicks AS DECIMAL(18, 0)) / NULLIF(impressions, 0), 0),
  COALESCE(CAST(conversions AS DECIMAL(18, 0)) / NULLIF(clicks, 0), 0)
FROM counts;
