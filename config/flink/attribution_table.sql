-- The table that attribution.sql writes, for PostgreSQL. Created once, before the statement is started.
CREATE TABLE IF NOT EXISTS conversion_attribution (
  conversion_key TEXT PRIMARY KEY,
  conversion_type TEXT NOT NULL,
  order_id TEXT,
  device_id TEXT NOT NULL,
  product_id TEXT,
  revenue_amount NUMERIC(20, 6),
  -- UTC
  converted_at TIMESTAMP(6) NOT NULL,
  clicked_at TIMESTAMP(6) NOT NULL,
  ad_id TEXT,
  campaign_id TEXT NOT NULL,
  advertiser_id TEXT
);
