-- The same tables as in Postgres. Instants are microseconds since 1970-01-01T00:00:00Z, days are YYYY-MM-DD, money is
-- whole micros. SQLite compares texts byte by byte.

CREATE TABLE ad_balance_histories (
  kafka_offset         INTEGER NOT NULL,
  amount_micros        INTEGER NOT NULL,
  balance_after_micros INTEGER NOT NULL,
  generation           INTEGER NOT NULL,
  occurred_at          INTEGER NOT NULL,
  created_at           INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  budget_day           TEXT NOT NULL,
  kafka_partition      INTEGER NOT NULL,
  incarnation          INTEGER NOT NULL,
  type                 TEXT NOT NULL,
  advertiser_id        TEXT NOT NULL,
  campaign_id          TEXT NOT NULL,
  ad_id                TEXT,
  device_id            TEXT,
  kafka_topic          TEXT NOT NULL,
  price_source         TEXT NOT NULL,
  reason               TEXT NOT NULL,
  CONSTRAINT ad_balance_histories_amount CHECK (
    (type = 'DEDUCT' AND amount_micros <= 0) OR (type = 'REFUND' AND amount_micros >= 0))
) STRICT;

-- A record is charged once. Offsets of a partition grow, so that inserts touch few pages.
CREATE UNIQUE INDEX ad_balance_histories_record
  ON ad_balance_histories (kafka_partition, kafka_offset, incarnation, kafka_topic);

CREATE TABLE campaigns (
  campaign_id         TEXT PRIMARY KEY,
  advertiser_id       TEXT NOT NULL,
  status              TEXT NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('PENDING', 'ACTIVE', 'PAUSED', 'DELETED')),
  paused_reason       TEXT,
  paused_day          TEXT,
  daily_budget_micros INTEGER CHECK (daily_budget_micros >= 0),
  cpc_micros          INTEGER NOT NULL CHECK (cpc_micros >= 0),
  time_zone           TEXT NOT NULL DEFAULT 'Asia/Seoul',
  -- Starts at the clock, so that it grows over a deletion and a new insertion, too.
  version             INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  updated_at          INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)
) STRICT, WITHOUT ROWID;

-- Humans change this table by hand; the host must notice.
CREATE TRIGGER campaign_changed AFTER UPDATE ON campaigns FOR EACH ROW
WHEN NEW.advertiser_id IS NOT OLD.advertiser_id OR NEW.status IS NOT OLD.status
  OR NEW.paused_reason IS NOT OLD.paused_reason OR NEW.paused_day IS NOT OLD.paused_day
  OR NEW.daily_budget_micros IS NOT OLD.daily_budget_micros OR NEW.cpc_micros IS NOT OLD.cpc_micros
  OR NEW.time_zone IS NOT OLD.time_zone OR NEW.version < OLD.version
BEGIN
  UPDATE campaigns SET
    version = max(NEW.version, OLD.version + 1), updated_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
  WHERE campaign_id = NEW.campaign_id;
END;

CREATE TABLE advertiser_balances (
  advertiser_id  TEXT PRIMARY KEY,
  opening_micros INTEGER NOT NULL DEFAULT 0,
  balance_micros INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Every movement of a balance that is not in history, so that the chain of balances can be followed.
CREATE TABLE opening_changes (
  advertiser_id         TEXT NOT NULL,
  opening_before_micros INTEGER NOT NULL,
  opening_after_micros  INTEGER NOT NULL,
  balance_before_micros INTEGER NOT NULL,
  balance_after_micros  INTEGER NOT NULL,
  created_at            INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)
) STRICT;

CREATE TRIGGER opening_changed AFTER UPDATE OF opening_micros ON advertiser_balances FOR EACH ROW
WHEN NEW.opening_micros <> OLD.opening_micros
BEGIN
  INSERT INTO opening_changes (
    advertiser_id, opening_before_micros, opening_after_micros, balance_before_micros, balance_after_micros)
  VALUES (NEW.advertiser_id, OLD.opening_micros, NEW.opening_micros, OLD.balance_micros, NEW.balance_micros);
END;

CREATE TABLE campaign_daily_spend (
  campaign_id            TEXT NOT NULL,
  day                    TEXT NOT NULL,
  spent_micros           INTEGER NOT NULL DEFAULT 0,
  warned_ppm             INTEGER NOT NULL DEFAULT 0,
  paused_ppm             INTEGER NOT NULL DEFAULT 0,
  crossing_budget_micros INTEGER,
  overspent_micros       INTEGER NOT NULL DEFAULT 0,
  version                INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (campaign_id, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE consumer_progress (
  consumer_group  TEXT NOT NULL,
  topic           TEXT NOT NULL,
  kafka_partition INTEGER NOT NULL,
  -- Empty when the broker gives topics no id.
  topic_id        TEXT NOT NULL,
  incarnation     INTEGER NOT NULL DEFAULT 0,
  first_offset    INTEGER NOT NULL,
  next_offset     INTEGER NOT NULL,
  epoch           INTEGER NOT NULL DEFAULT 0,
  generation      INTEGER NOT NULL,
  charged         INTEGER NOT NULL DEFAULT 0,
  skipped         INTEGER NOT NULL DEFAULT 0,
  dead            INTEGER NOT NULL DEFAULT 0,
  absent          INTEGER NOT NULL DEFAULT 0,
  owner           TEXT NOT NULL DEFAULT '',
  halted_reason   TEXT,
  updated_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  PRIMARY KEY (consumer_group, topic, kafka_partition)
) STRICT, WITHOUT ROWID;

-- Progress in topics that were created again since: what their history and dead letters have to add up to.
CREATE TABLE retired_progress (
  consumer_group  TEXT NOT NULL,
  topic           TEXT NOT NULL,
  kafka_partition INTEGER NOT NULL,
  incarnation     INTEGER NOT NULL,
  topic_id        TEXT NOT NULL,
  first_offset    INTEGER NOT NULL,
  next_offset     INTEGER NOT NULL,
  charged         INTEGER NOT NULL,
  skipped         INTEGER NOT NULL,
  dead            INTEGER NOT NULL,
  absent          INTEGER NOT NULL,
  retired_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  PRIMARY KEY (consumer_group, topic, kafka_partition, incarnation)
) STRICT;

CREATE TABLE budget_crossings (
  campaign_id   TEXT NOT NULL,
  day           TEXT NOT NULL,
  kind          TEXT NOT NULL CHECK (kind IN ('WARN', 'PAUSE', 'RESUME')),
  level_ppm     INTEGER NOT NULL,
  budget_micros INTEGER NOT NULL,
  round         INTEGER NOT NULL,
  advertiser_id TEXT NOT NULL,
  usage_ppm     INTEGER NOT NULL,
  spent_micros  INTEGER NOT NULL,
  reason        TEXT NOT NULL,
  created_at    INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  PRIMARY KEY (campaign_id, day, kind, level_ppm, budget_micros, round)
) STRICT;

CREATE TABLE outbox (
  id              INTEGER PRIMARY KEY,
  dedup_key       TEXT NOT NULL UNIQUE,
  kind            TEXT NOT NULL,
  payload         TEXT NOT NULL CHECK (json_valid(payload)),
  created_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  attempts        INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  lease_until     INTEGER,
  sent_at         INTEGER,
  dead_at         INTEGER,
  last_error      TEXT
) STRICT;
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE sent_at IS NULL AND dead_at IS NULL;

CREATE TABLE dead_letters (
  topic           TEXT NOT NULL,
  incarnation     INTEGER NOT NULL,
  kafka_partition INTEGER NOT NULL,
  kafka_offset    INTEGER NOT NULL,
  code            TEXT NOT NULL,
  stage           TEXT NOT NULL,
  sentence        TEXT NOT NULL,
  record_at_ms    INTEGER NOT NULL,
  message_key     BLOB,
  payload         BLOB,
  -- Pairs of name and value; the value is base64, or null when the header has none.
  headers         TEXT NOT NULL DEFAULT '[]',
  generation      INTEGER NOT NULL,
  created_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  published_at    INTEGER,
  PRIMARY KEY (topic, incarnation, kafka_partition, kafka_offset)
) STRICT;
CREATE INDEX dead_letters_unpublished ON dead_letters (created_at) WHERE published_at IS NULL;

CREATE TABLE rule_modules (
  digest     TEXT PRIMARY KEY,
  world      TEXT NOT NULL,
  name       TEXT NOT NULL,
  version    TEXT NOT NULL,
  bytes      BLOB NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)
) STRICT;

CREATE TABLE rule_generations (
  number     INTEGER PRIMARY KEY,
  author     TEXT NOT NULL,
  note       TEXT NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)
) STRICT;

CREATE TABLE rule_generation_parts (
  number INTEGER NOT NULL REFERENCES rule_generations,
  world  TEXT NOT NULL,
  digest TEXT NOT NULL REFERENCES rule_modules,
  params TEXT NOT NULL,
  PRIMARY KEY (number, world)
) STRICT;

-- One row; 0 until the first activation.
CREATE TABLE rule_activation (
  sole   INTEGER PRIMARY KEY DEFAULT 1 CHECK (sole = 1),
  number INTEGER NOT NULL
) STRICT;
INSERT INTO rule_activation (number) VALUES (0);

CREATE TABLE operator_actions (
  id         INTEGER PRIMARY KEY,
  action     TEXT NOT NULL,
  subject    TEXT NOT NULL,
  detail     TEXT NOT NULL,
  note       TEXT NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)
) STRICT;

