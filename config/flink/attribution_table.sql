-- The table that attribution.sql writes, for PostgreSQL 14 or later. Created once, before the statement is started; running
-- this again changes nothing.
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

-- Of an order's conversions the first one counts that a click has led to. The statement forgets orders after a while, and
-- everything when it starts afresh; a later conversion of the same order then comes as a new one, and is passed over here.
CREATE OR REPLACE FUNCTION conversion_attribution_keeps() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';

CREATE OR REPLACE TRIGGER conversion_attribution_keeps
BEFORE UPDATE ON conversion_attribution FOR EACH ROW
WHEN (NEW.converted_at > OLD.converted_at)
EXECUTE FUNCTION conversion_attribution_keeps();
