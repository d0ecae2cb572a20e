-- What the running audit has seen, and clicks and duplicates by the minute.

-- One row: the host that watches.
CREATE TABLE watch_lease (
  sole        boolean PRIMARY KEY DEFAULT true CHECK (sole),
  owner       text NOT NULL DEFAULT '',
  lease_until timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO watch_lease DEFAULT VALUES;

-- One row. A lap is written only when nobody has written one since it was begun.
CREATE TABLE watch_state (
  sole         boolean PRIMARY KEY DEFAULT true CHECK (sole),
  lap          bigint NOT NULL DEFAULT 0,
  -- Offsets that have their fate and were not watched at the last lap.
  behind       bigint NOT NULL DEFAULT 0,
  -- When the watch had last seen everything; NULL until it has.
  caught_up_at timestamptz,
  -- When everything was last audited, or when that began to count.
  audited_at   timestamptz NOT NULL DEFAULT now()
);
INSERT INTO watch_state DEFAULT VALUES;

-- How far each partition was watched, and how many charges or compensations were seen below.
CREATE TABLE watch_marks (
  topic           text COLLATE "C" NOT NULL,
  incarnation     integer NOT NULL,
  kafka_partition integer NOT NULL,
  upto_offset     bigint NOT NULL,
  charged         bigint NOT NULL,
  PRIMARY KEY (topic, incarnation, kafka_partition)
) WITH (fillfactor = 50);

-- Sums of all history that was seen; they stay when old history is taken away.
CREATE TABLE watch_balances (
  advertiser_id text COLLATE "C" PRIMARY KEY,
  moved_micros  bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE watch_days (
  day             date NOT NULL,
  campaign_id     text COLLATE "C" NOT NULL,
  charged_micros  bigint NOT NULL,
  refunded_micros bigint NOT NULL,
  PRIMARY KEY (day, campaign_id)
) WITH (fillfactor = 50);

-- Days are compared from yesterday on.
CREATE INDEX campaign_daily_spend_day ON campaign_daily_spend (day);

-- Refunds stand at offsets of their compensations, so each says itself whether it was seen.
ALTER TABLE compensations ADD COLUMN watched boolean NOT NULL DEFAULT false;
CREATE INDEX compensations_unwatched ON compensations (topic, incarnation, kafka_partition, kafka_offset)
  WHERE state = 'REFUNDED' AND NOT watched;

-- What a replay has charged or taken in stands at offsets that may have been watched before.
ALTER TABLE compensations ADD COLUMN intake_watched boolean NOT NULL DEFAULT true;
CREATE INDEX compensations_intake_unwatched ON compensations (topic, incarnation, kafka_partition, kafka_offset)
  WHERE NOT intake_watched;
ALTER TABLE dead_letters ADD COLUMN watched boolean NOT NULL DEFAULT false;
CREATE INDEX dead_letters_unwatched ON dead_letters (topic, incarnation, kafka_partition, kafka_offset)
  WHERE replayed_at IS NOT NULL AND NOT watched;

-- Minutes since 1970-01-01T00:00Z, by the timestamps of the clicks; kept for two days.
CREATE TABLE click_minutes (
  minute        bigint NOT NULL,
  campaign_id   text COLLATE "C" NOT NULL,
  advertiser_id text COLLATE "C" NOT NULL,
  clicks        bigint NOT NULL,
  PRIMARY KEY (minute, campaign_id, advertiser_id)
) WITH (fillfactor = 80);

-- Charges that refunds gave back, at the minutes of the charges, and what they had cost.
CREATE TABLE duplicate_minutes (
  minute         bigint NOT NULL,
  campaign_id    text COLLATE "C" NOT NULL,
  advertiser_id  text COLLATE "C" NOT NULL,
  duplicates     bigint NOT NULL,
  charged_micros bigint NOT NULL,
  PRIMARY KEY (minute, campaign_id, advertiser_id)
) WITH (fillfactor = 80);

-- Where the ledger does not add up. One row is open for each claim and subject.
CREATE TABLE audit_findings (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- WATCH finds on closed windows, AUDIT by reading everything.
  source        text COLLATE "C" NOT NULL CHECK (source IN ('WATCH', 'AUDIT')),
  claim         text COLLATE "C" NOT NULL,
  subject       text COLLATE "C" NOT NULL,
  -- Empty when the finding concerns none or many.
  advertiser_id text COLLATE "C" NOT NULL,
  campaign_id   text COLLATE "C" NOT NULL DEFAULT '',
  day           date,
  expected      bigint NOT NULL,
  -- NULL: there is no such row.
  found         bigint,
  detail        text NOT NULL,
  found_at      timestamptz NOT NULL DEFAULT now(),
  cleared_at    timestamptz
);
CREATE UNIQUE INDEX audit_findings_open ON audit_findings (source, claim, subject) WHERE cleared_at IS NULL;
