-- Refunds: a compensation is stored with the progress of its partition and settled later, by any host, in one
-- transaction with the money that it moves.

CREATE TABLE compensations (
  id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic             text COLLATE "C" NOT NULL,
  incarnation       integer NOT NULL,
  kafka_partition   integer NOT NULL,
  kafka_offset      bigint NOT NULL,
  -- What makes two records the same compensation.
  identity          text COLLATE "C" NOT NULL,
  -- REPEATED has the identity of another one that waited or was paid when it came.
  state             text COLLATE "C" NOT NULL
    CHECK (state IN ('WAITING', 'REFUNDED', 'REJECTED', 'EXPIRED', 'REPEATED')),
  advertiser_id     text COLLATE "C" NOT NULL,
  campaign_id       text COLLATE "C" NOT NULL,
  ad_id             text COLLATE "C",
  device_id         text COLLATE "C",
  duplicate_count   bigint NOT NULL,
  claimed_micros    bigint NOT NULL,
  -- Instants of the original clicks, in microseconds since 1970-01-01T00:00:00Z, in order.
  timestamps        jsonb NOT NULL,
  detection_window  text NOT NULL,
  reason            text NOT NULL,
  compensation_type text NOT NULL,
  occurred_at       timestamptz NOT NULL,
  record_at_ms      bigint NOT NULL,
  message_key       bytea,
  payload           text NOT NULL,
  -- Pairs of name and value; the value is base64, or null when the header has none.
  headers           jsonb NOT NULL,
  -- Rule generation of the intake, then of the last look.
  generation        bigint NOT NULL,
  received_at       timestamptz NOT NULL DEFAULT now(),
  next_look_at      timestamptz NOT NULL DEFAULT now(),
  looks             bigint NOT NULL DEFAULT 0,
  settled_at        timestamptz,
  -- The rule's reason or the host's code; while it waits, why.
  settled_reason    text,
  refund_micros     bigint NOT NULL DEFAULT 0,
  detail            text,
  CONSTRAINT compensations_record UNIQUE (topic, incarnation, kafka_partition, kafka_offset),
  CONSTRAINT compensations_refund CHECK (refund_micros >= 0 AND (state = 'REFUNDED') = (refund_micros > 0))
);
-- Paid once. What was refused may come again, because that is how a dead letter is tried again. The digest keeps long
-- identities below the limit of an index.
CREATE UNIQUE INDEX compensations_identity ON compensations (md5(identity)) WHERE state IN ('WAITING', 'REFUNDED');
CREATE INDEX compensations_waiting ON compensations (next_look_at, id) WHERE state = 'WAITING';

-- What was found to be duplicates, and what was paid back for them.
CREATE TABLE duplicate_click_logs (
  compensation_id  bigint PRIMARY KEY REFERENCES compensations,
  advertiser_id    text COLLATE "C" NOT NULL,
  campaign_id      text COLLATE "C" NOT NULL,
  ad_id            text COLLATE "C",
  device_id        text COLLATE "C",
  duplicate_count  bigint NOT NULL,
  timestamps       jsonb NOT NULL,
  detection_window text NOT NULL,
  claimed_micros   bigint NOT NULL,
  refund_micros    bigint NOT NULL,
  -- How amount, count, timestamps and charges contradict each other; NULL when they do not.
  mismatch         text,
  -- The charges that were refunded: topic, incarnation, partition and offset of each.
  refunded         jsonb NOT NULL,
  topic            text COLLATE "C" NOT NULL,
  incarnation      integer NOT NULL,
  kafka_partition  integer NOT NULL,
  kafka_offset     bigint NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now()
);

-- A charge is refunded once, by whatever compensation.
CREATE TABLE refunded_charges (
  topic           text COLLATE "C" NOT NULL,
  incarnation     integer NOT NULL,
  kafka_partition integer NOT NULL,
  kafka_offset    bigint NOT NULL,
  compensation_id bigint NOT NULL REFERENCES compensations,
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (topic, incarnation, kafka_partition, kafka_offset)
);

-- Charges by their instant. Clicks arrive nearly in order, so that a summary of page ranges finds them and costs
-- charging next to nothing.
CREATE INDEX ad_balance_histories_occurred ON ad_balance_histories
  USING brin (occurred_at) WITH (pages_per_range = 32, autosummarize = on);
