-- Refunds: a compensation is stored with the progress of its partition and settled later, by any host, in one
-- transaction with the money that it moves.

CREATE TABLE compensations (
  id                INTEGER PRIMARY KEY,
  topic             TEXT NOT NULL,
  incarnation       INTEGER NOT NULL,
  kafka_partition   INTEGER NOT NULL,
  kafka_offset      INTEGER NOT NULL,
  -- What makes two records the same compensation.
  identity          TEXT NOT NULL,
  -- REPEATED has the identity of another one that waited or was paid when it came.
  state             TEXT NOT NULL
    CHECK (state IN ('WAITING', 'REFUNDED', 'REJECTED', 'EXPIRED', 'REPEATED')),
  advertiser_id     TEXT NOT NULL,
  campaign_id       TEXT NOT NULL,
  ad_id             TEXT,
  device_id         TEXT,
  duplicate_count   INTEGER NOT NULL,
  claimed_micros    INTEGER NOT NULL,
  -- Instants of the original clicks, in microseconds since 1970-01-01T00:00:00Z, in order.
  timestamps        TEXT NOT NULL CHECK (json_valid(timestamps)),
  detection_window  TEXT NOT NULL,
  reason            TEXT NOT NULL,
  compensation_type TEXT NOT NULL,
  occurred_at       INTEGER NOT NULL,
  record_at_ms      INTEGER NOT NULL,
  message_key       BLOB,
  payload           TEXT NOT NULL,
  -- Pairs of name and value; the value is base64, or null when the header has none.
  headers           TEXT NOT NULL CHECK (json_valid(headers)),
  -- Rule generation of the intake, then of the last look.
  generation        INTEGER NOT NULL,
  received_at       INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  next_look_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  looks             INTEGER NOT NULL DEFAULT 0,
  settled_at        INTEGER,
  -- The rule's reason or the host's code; while it waits, why.
  settled_reason    TEXT,
  refund_micros     INTEGER NOT NULL DEFAULT 0,
  detail            TEXT,
  CONSTRAINT compensations_record UNIQUE (topic, incarnation, kafka_partition, kafka_offset),
  CONSTRAINT compensations_refund CHECK (refund_micros >= 0 AND (state = 'REFUNDED') = (refund_micros > 0))
) STRICT;
-- Paid once. What was refused may come again, because that is how a dead letter is tried again.
CREATE UNIQUE INDEX compensations_identity ON compensations (identity) WHERE state IN ('WAITING', 'REFUNDED');
CREATE INDEX compensations_waiting ON compensations (next_look_at, id) WHERE state = 'WAITING';

-- What was found to be duplicates, and what was paid back for them.
CREATE TABLE duplicate_click_logs (
  compensation_id  INTEGER PRIMARY KEY REFERENCES compensations,
  advertiser_id    TEXT NOT NULL,
  campaign_id      TEXT NOT NULL,
  ad_id            TEXT,
  device_id        TEXT,
  duplicate_count  INTEGER NOT NULL,
  timestamps       TEXT NOT NULL CHECK (json_valid(timestamps)),
  detection_window TEXT NOT NULL,
  claimed_micros   INTEGER NOT NULL,
  refund_micros    INTEGER NOT NULL,
  -- How amount, count, timestamps and charges contradict each other; NULL when they do not.
  mismatch         TEXT,
  -- The charges that were refunded: topic, incarnation, partition and offset of each.
  refunded         TEXT NOT NULL CHECK (json_valid(refunded)),
  topic            TEXT NOT NULL,
  incarnation      INTEGER NOT NULL,
  kafka_partition  INTEGER NOT NULL,
  kafka_offset     INTEGER NOT NULL,
  created_at       INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)
) STRICT;

-- A charge is refunded once, by whatever compensation.
CREATE TABLE refunded_charges (
  topic           TEXT NOT NULL,
  incarnation     INTEGER NOT NULL,
  kafka_partition INTEGER NOT NULL,
  kafka_offset    INTEGER NOT NULL,
  compensation_id INTEGER NOT NULL REFERENCES compensations,
  created_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  PRIMARY KEY (topic, incarnation, kafka_partition, kafka_offset)
) STRICT;

-- Charges of a device by their instant.
CREATE INDEX ad_balance_histories_device ON ad_balance_histories (device_id, occurred_at)
  WHERE type = 'DEDUCT' AND device_id IS NOT NULL;
