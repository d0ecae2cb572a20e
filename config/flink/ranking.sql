-- campaign-events -> rtb:{placement}:{category}, a sorted set of all campaigns that may be shown there, by bid.
SET 'pipeline.name' = 'tollgate-ranking';
SET 'execution.checkpointing.dir' = '${CHECKPOINT_DIR}/ranking';
-- What is known of a campaign is kept until it is told otherwise.
SET 'table.exec.state.ttl' = '0';

CREATE TEMPORARY TABLE ranks (
  campaign_id STRING NOT NULL,
  placement STRING,
  category STRING,
  bid_price DECIMAL(18, 6),
  version STRING,
  is_unknown BOOLEAN,
  PRIMARY KEY (campaign_id) NOT ENFORCED
) WITH (
  'connector' = 'redis',
  'url' = '${REDIS_URL}',
  'username' = '${REDIS_USERNAME}',
  'password' = '${REDIS_PASSWORD}',
  'command' = 'ZADD',
  'key' = '${RANKING_PREFIX}{placement}:{category}',
  'member' = '{campaign_id}',
  'places' = '${RANKING_PLACES}',
  'score' = 'bid_price',
  -- What is read again after a restart does not undo what is newer.
  'newest-by' = 'version',
  'leave-when' = 'is_unknown'
);

-- A clock, so that what lies in the future comes into force while no event comes.
CREATE TEMPORARY TABLE ticks (
  tick BIGINT,
  tick_at AS CAST(CURRENT_TIMESTAMP AS TIMESTAMP(3)),
  WATERMARK FOR tick_at AS tick_at - INTERVAL '1' SECOND
) WITH (
  'connector' = 'datagen',
  'rows-per-second' = '1',
  'scan.parallelism' = '1'
);

-- Events leave out what they do not change or know. `version` orders them by when they were written, and then by their place.
CREATE TEMPORARY VIEW updates AS
SELECT
  campaign_id,
  in_force_at,
  CURRENT_WATERMARK(in_force_at) AS reached_at,
  effective_from IS NOT NULL AND EVENT_TIME(effective_from) > occurred_at AS is_for_later,
  CAST(occurred_at AS STRING) || LPAD(CAST(`partition` AS STRING), 5, '0') || LPAD(CAST(`offset` AS STRING), 19, '0') AS version,
  NULLIF(placement, '') AS placement,
  NULLIF(category, '') AS category,
  CAST(TRY_CAST(bid_price AS DECIMAL(18, 6)) AS STRING) AS bid_price,
  status,
  COALESCE(approval_status, CASE event_type WHEN 'CAMPAIGN_APPROVED' THEN 'APPROVED' END) AS approval_status
FROM campaign_events /*+ OPTIONS('properties.group.id' = '${RANKING_GROUP}') */
WHERE occurred_at IS NOT NULL AND campaign_id <> ''
  AND (effective_from IS NULL OR EVENT_TIME(effective_from) IS NOT NULL);

-- What lies in the future waits: a row leaves an event-time aggregate when the watermark has passed its time.
CREATE TEMPORARY VIEW delayed AS
SELECT campaign_id, version, placement, category, bid_price, status, approval_status,
  COUNT(*) OVER (PARTITION BY campaign_id ORDER BY in_force_at RANGE BETWEEN INTERVAL '1' SECOND PRECEDING AND CURRENT ROW) AS released
FROM (
  SELECT campaign_id, in_force_at, version, placement, category, bid_price, status, approval_status
  FROM updates WHERE is_for_later
  UNION ALL
  SELECT '', tick_at, '', '', '', '', '', '' FROM ticks
);

-- What is in force goes straight on, however late it is.
CREATE TEMPORARY VIEW in_force AS
SELECT campaign_id, version, placement, category, bid_price, status, approval_status
FROM updates WHERE NOT is_for_later OR in_force_at <= reached_at
UNION ALL
SELECT campaign_id, version, placement, category, bid_price, status, approval_status
FROM delayed WHERE released > 0 AND campaign_id <> '';

-- Of each field the newest value that was given: the greatest one behind its version.
CREATE TEMPORARY VIEW campaigns AS
SELECT
  campaign_id,
  MAX(version) AS version,
  SUBSTRING(MAX(version || placement), 51) AS placement,
  SUBSTRING(MAX(version || category), 51) AS category,
  CAST(SUBSTRING(MAX(version || bid_price), 51) AS DECIMAL(18, 6)) AS bid_price,
  SUBSTRING(MAX(version || status), 51) AS status,
  SUBSTRING(MAX(version || approval_status), 51) AS approval_status
FROM in_force
GROUP BY campaign_id;

CREATE TEMPORARY VIEW verdicts AS
SELECT *,
  COALESCE(status <> 'ACTIVE', FALSE) OR COALESCE(approval_status <> 'APPROVED', FALSE) AS is_hidden,
  status IS NOT NULL AND approval_status IS NOT NULL AND placement IS NOT NULL AND category IS NOT NULL AND bid_price IS NOT NULL
    AS is_whole
FROM campaigns;

-- Campaigns that are not shown are told, too, and the version makes a row of whatever is newer. So a job that goes on at a
-- checkpoint puts right what it had told after it, even when it now reads the partitions in another order. A job that starts
-- afresh may know only the last events of a campaign: unless these say that it is not shown, it stays where it is.
INSERT INTO ranks
SELECT
  campaign_id, placement, category, CASE WHEN is_whole AND NOT is_hidden THEN bid_price END, version, NOT (is_whole OR is_hidden)
FROM verdicts;
