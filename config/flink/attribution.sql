-- conversion-events and clicks of ad-events -> conversion_attribution, one row per order and type of conversion.
SET 'pipeline.name' = 'tollgate-attribution';
SET 'execution.checkpointing.dir' = '${CHECKPOINT_DIR}/attribution';
-- An order that nothing has happened to for so long can no longer find a click. When it comes again even later, it looks
-- new here; the table keeps what it has (attribution_table.sql).
SET 'table.exec.state.ttl' = '${ATTRIBUTION_STATE_TTL_H} h';

CREATE TEMPORARY TABLE attributions (
  conversion_key STRING,
  conversion_type STRING,
  order_id STRING,
  device_id STRING,
  product_id STRING,
  revenue_amount DECIMAL(20, 6),
  converted_at TIMESTAMP(6),
  clicked_at TIMESTAMP(6),
  ad_id STRING,
  campaign_id STRING,
  advertiser_id STRING,
  PRIMARY KEY (conversion_key) NOT ENFORCED
) WITH (
  'connector' = 'jdbc',
  'url' = '${DATABASE_JDBC_URL}',
  'username' = '${DATABASE_USERNAME}',
  'password' = '${DATABASE_PASSWORD}',
  'table-name' = '${ATTRIBUTION_TABLE}',
  'sink.buffer-flush.interval' = '500 ms',
  'sink.buffer-flush.max-rows' = '500'
);

-- The key is the order and the type, so that a purchase and what was put into the cart before do not take each other's
-- place. What has no order is told apart by device, product and time.
CREATE TEMPORARY VIEW conversions AS
SELECT
  COALESCE(NULLIF(order_id, ''), device_id || '|' || COALESCE(product_id, '') || '|' || CAST(occurred_at AS STRING))
    || '|' || conversion_type AS conversion_key,
  conversion_type,
  NULLIF(order_id, '') AS order_id,
  device_id,
  NULLIF(product_id, '') AS product_id,
  TRY_CAST(revenue_amount AS DECIMAL(20, 6)) AS revenue_amount,
  occurred_at AS converted_at,
  LEAST(COALESCE(TRY_CAST(attribution_window AS INT), ${ATTRIBUTION_WINDOW_H_MAX}), ${ATTRIBUTION_WINDOW_H_MAX}) AS window_hours,
  `partition` AS conversion_partition,
  `offset` AS conversion_offset,
  ts
FROM conversion_events /*+ OPTIONS('properties.group.id' = '${ATTRIBUTION_GROUP}') */
WHERE occurred_at IS NOT NULL AND device_id <> '' AND conversion_type <> '';

CREATE TEMPORARY VIEW touching_clicks AS
SELECT
  device_id, product_id, ad_id, campaign_id, advertiser_id, occurred_at AS clicked_at,
  `partition` AS click_partition, `offset` AS click_offset, ts
FROM ad_events /*+ OPTIONS('properties.group.id' = '${ATTRIBUTION_GROUP}') */
WHERE event_type = 'CLICK' AND occurred_at IS NOT NULL AND device_id <> '' AND campaign_id <> '';

-- Every click that a conversion may be owed to. The bounds of the join say how long clicks are remembered; the lines below
-- them are exact.
CREATE TEMPORARY VIEW touches AS
SELECT
  v.conversion_key, v.conversion_type, v.order_id, v.device_id, COALESCE(v.product_id, c.product_id) AS product_id,
  v.revenue_amount, v.converted_at, v.conversion_partition, v.conversion_offset,
  c.clicked_at, c.ad_id, c.campaign_id, c.advertiser_id, c.click_partition, c.click_offset
FROM conversions v
JOIN touching_clicks c ON v.device_id = c.device_id
  AND c.ts BETWEEN v.ts - INTERVAL '${ATTRIBUTION_WINDOW_H_MAX}' HOUR AND v.ts
WHERE c.clicked_at <= v.converted_at
  AND c.clicked_at >= TIMESTAMPADD(HOUR, -v.window_hours, v.converted_at)
  AND (v.product_id IS NULL OR v.product_id = c.product_id);

-- The last touch: of an order's first conversion that has a click, the latest click.
INSERT INTO attributions
SELECT
  conversion_key, conversion_type, order_id, device_id, product_id, revenue_amount, converted_at, clicked_at, ad_id,
  campaign_id, advertiser_id
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY conversion_key
    ORDER BY converted_at, conversion_partition, conversion_offset, clicked_at DESC, click_partition DESC, click_offset DESC
  ) AS place
  FROM touches
)
WHERE place = 1;
