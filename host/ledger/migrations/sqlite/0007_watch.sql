-- What the running audit has seen, and clicks and duplicates by the minute.

-- One row: the host that watches.
CREATE TABLE watch_lease (
  sole        INTEGER PRIMARY KEY DEFAULT 1 CHECK (sole = 1),
  owner       TEXT NOT NULL DEFAULT '',
  lease_until INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO watch_lease DEFAULT VALUES;

-- One row. A lap is written only when nobody has written one since it was begun.
CREATE TABLE watch_state (
  sole         INTEGER PRIMARY KEY DEFAULT 1 CHECK (sole = 1),
  lap          INTEGER NOT NULL DEFAULT 0,
  -- Offsets that have their fate and were not watched at the last lap.
  behind       INTEGER NOT NULL DEFAULT 0,
  -- When the watch had last seen everything; NULL until it has.
  caught_up_at INTEGER,
  -- When everything was last audited, or when that began to count.
  audited_at   INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)
) STRICT;
INSERT INTO watch_state DEFAULT VALUES;

-- How far each partition was watched, and how many charges or compensations were seen below.
CREATE TABLE watch_marks (
  topic           TEXT NOT NULL,
  incarnation     INTEGER NOT NULL,
  kafka_partition INTEGER NOT NULL,
  upto_offset     INTEGER NOT NULL,
  charged         INTEGER NOT NULL,
  PRIMARY KEY (topic, incarnation, kafka_partition)
) STRICT;

-- Sums of all history that was seen; they stay when old history is taken away.
CREATE TABLE watch_balances (
  advertiser_id TEXT PRIMARY KEY,
  moved_micros  INTEGER NOT NULL
) STRICT;

CREATE TABLE watch_days (
  day             TEXT NOT NULL,
  campaign_id     TEXT NOT NULL,
  charged_micros  INTEGER NOT NULL,
  refunded_micros INTEGER NOT NULL,
  PRIMARY KEY (day, campaign_id)
) STRICT;

-- Days are compared from yesterday on.
CREATE INDEX campaign_daily_spend_day ON campaign_daily_spend (day);

-- Refunds stand at offsets of their compensations, so each says itself whether it was seen.
ALTER TABLE compensations ADD COLUMN watched INTEGER NOT NULL DEFAULT 0;
CREATE INDEX compensations_unwatched ON compensations (topic, incarnation, kafka_partition, kafka_offset)
  WHERE state = 'REFUNDED' AND NOT watched;

-- What a replay has charged or taken in stands at offsets that may have been watched before.
ALTER TABLE compensations ADD COLUMN intake_watched INTEGER NOT NULL DEFAULT 1;
CREATE INDEX compensations_intake_unwatched ON compensations (topic, incarnation, kafka_partition, kafka_offset)
  WHERE NOT intake_watched;
ALTER TABLE dead_letters ADD COLUMN watched INTEGER NOT NULL DEFAULT 0;
CREATE INDEX dead_letters_unwatched ON dead_letters (topic, incarnation, kafka_partition, kafka_offset)
  WHERE replayed_at IS NOT NULL AND NOT watched;

-- Minutes since 1970-01-01T00:00Z, by the timestamps of the clicks; kept for two days.
CREATE TABLE click_minutes (
  minute        INTEGER NOT NULL,
  campaign_id   TEXT NOT NULL,
  advertiser_id TEXT NOT NULL,
  clicks        INTEGER NOT NULL,
  PRIMARY KEY (minute, campaign_id, advertiser_id)
) STRICT;

-- Charges that refunds gave back, at the minutes of the charges, and what they had cost.
CREATE TABLE duplicate_minutes (
  minute         INTEGER NOT NULL,
  campaign_id    TEXT NOT NULL,
  advertiser_id  TEXT NOT NULL,
  duplicates     INTEGER NOT NULL,
  charged_micros INTEGER NOT NULL,
  PRIMARY KEY (minute, campaign_id, advertiser_id)
) STRICT;

-- Where the ledger does not add up. One row is open for each claim and subject.
CREATE TABLE audit_findings (
  id            INTEGER PRIMARY KEY,
  -- WATCH finds on closed windows, AUDIT by reading everything.
  source        TEXT NOT NULL CHECK (source IN ('WATCH', 'AUDIT')),
  claim         TEXT NOT NULL,
  subject       TEXT NOT NULL,
  -- Empty when the finding concerns none or many.
  advertiser_id TEXT NOT NULL,
  campaign_id   TEXT NOT NULL DEFAULT '',
  day           TEXT,
  expected      INTEGER NOT NULL,
  -- NULL: there is no such row.
  found         INTEGER,
  detail        TEXT NOT NULL,
  found_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  cleared_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX audit_findings_open ON audit_findings (source, claim, subject) WHERE cleared_at IS NULL;
