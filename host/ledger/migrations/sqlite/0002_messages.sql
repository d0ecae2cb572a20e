-- Messages: the outbox holds what happened; a relay has it worded and keeps what is to be sent in `deliveries`.

-- Columns of the outbox that no program has used for sending.
DROP INDEX outbox_due;
ALTER TABLE outbox ADD COLUMN worded_at INTEGER;
ALTER TABLE outbox DROP COLUMN attempts;
ALTER TABLE outbox DROP COLUMN next_attempt_at;
ALTER TABLE outbox DROP COLUMN lease_until;
ALTER TABLE outbox DROP COLUMN sent_at;
ALTER TABLE outbox DROP COLUMN dead_at;
ALTER TABLE outbox DROP COLUMN last_error;
CREATE INDEX outbox_unworded ON outbox (id) WHERE worded_at IS NULL;

CREATE TABLE deliveries (
  id              INTEGER PRIMARY KEY,
  -- The happening's key and a number: the same message has the same key, whenever it is worded.
  key             TEXT NOT NULL UNIQUE,
  -- The happening's key in the outbox.
  happening       TEXT NOT NULL,
  kind            TEXT NOT NULL,
  channel         TEXT NOT NULL CHECK (channel IN ('slack', 'email', 'topic')),
  route           TEXT NOT NULL,
  severity        TEXT NOT NULL,
  title           TEXT NOT NULL,
  body            TEXT NOT NULL,
  -- Empty when the happening concerns none or many.
  campaign_id     TEXT NOT NULL DEFAULT '',
  advertiser_id   TEXT NOT NULL DEFAULT '',
  -- YYYY-MM-DD, or empty.
  budget_day      TEXT NOT NULL DEFAULT '',
  generation      INTEGER NOT NULL,
  occurred_at     INTEGER NOT NULL,
  created_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  next_attempt_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  attempts        INTEGER NOT NULL DEFAULT 0,
  -- NULL while it waits; DEAD was given up, DROPPED by an operator, OFF has no channel.
  outcome         TEXT CHECK (outcome IN ('SENT', 'DEAD', 'DROPPED', 'OFF')),
  settled_at      INTEGER,
  last_error      TEXT
) STRICT;
CREATE INDEX deliveries_waiting ON deliveries (channel, route, next_attempt_at, id) WHERE outcome IS NULL;
CREATE INDEX deliveries_dead ON deliveries (id) WHERE outcome = 'DEAD';
CREATE INDEX deliveries_facts ON deliveries (campaign_id, budget_day, kind, created_at);

-- Pace and back-off of a route, so that they hold over a crash and over hosts.
CREATE TABLE relay_routes (
  channel    TEXT NOT NULL,
  route      TEXT NOT NULL,
  -- Nothing is sent before.
  not_before INTEGER NOT NULL,
  -- Failures since the last success.
  failures   INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  PRIMARY KEY (channel, route)
) STRICT, WITHOUT ROWID;

-- One row: the host that sends.
CREATE TABLE relay_lease (
  sole        INTEGER PRIMARY KEY DEFAULT 1 CHECK (sole = 1),
  owner       TEXT NOT NULL DEFAULT '',
  lease_until INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO relay_lease DEFAULT VALUES;

-- How far something that is counted was told, and when.
CREATE TABLE alert_marks (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL,
  at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO alert_marks (name, value, at) VALUES ('dead_letters', 0, 0);
CREATE INDEX dead_letters_created ON dead_letters (created_at);

-- What the customer's campaign events tell besides status and budget.
ALTER TABLE campaigns ADD COLUMN product_id TEXT;
ALTER TABLE campaigns ADD COLUMN placement TEXT;
ALTER TABLE campaigns ADD COLUMN category TEXT;
ALTER TABLE campaigns ADD COLUMN approval_status TEXT;
ALTER TABLE campaigns ADD COLUMN targeting TEXT CHECK (targeting IS NULL OR json_valid(targeting));
ALTER TABLE campaigns ADD COLUMN effective_from INTEGER;
ALTER TABLE campaigns ADD COLUMN rtb_impact TEXT;
ALTER TABLE campaigns ADD COLUMN bid_micros INTEGER CHECK (bid_micros >= 0);

-- Campaigns that are looked at without a click.
CREATE INDEX campaigns_exhausted ON campaigns (campaign_id)
  WHERE status = 'PAUSED' AND paused_reason = 'BUDGET_EXHAUSTED';
CREATE INDEX campaigns_updated ON campaigns (updated_at);
