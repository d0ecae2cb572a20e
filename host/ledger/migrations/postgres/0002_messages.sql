-- Messages: the outbox holds what happened; a relay has it worded and keeps what is to be sent in `deliveries`.

-- Columns of the outbox that no program has used for sending.
DROP INDEX outbox_due;
ALTER TABLE outbox
  ADD COLUMN worded_at timestamptz,
  DROP COLUMN attempts,
  DROP COLUMN next_attempt_at,
  DROP COLUMN lease_until,
  DROP COLUMN sent_at,
  DROP COLUMN dead_at,
  DROP COLUMN last_error;
CREATE INDEX outbox_unworded ON outbox (id) WHERE worded_at IS NULL;

CREATE TABLE deliveries (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- The happening's key and a number: the same message has the same key, whenever it is worded.
  key             text COLLATE "C" NOT NULL UNIQUE,
  -- The happening's key in the outbox.
  happening       text COLLATE "C" NOT NULL,
  kind            text COLLATE "C" NOT NULL,
  channel         text COLLATE "C" NOT NULL CHECK (channel IN ('slack', 'email', 'topic')),
  route           text COLLATE "C" NOT NULL,
  severity        text NOT NULL,
  title           text NOT NULL,
  body            text NOT NULL,
  -- Empty when the happening concerns none or many.
  campaign_id     text COLLATE "C" NOT NULL DEFAULT '',
  advertiser_id   text COLLATE "C" NOT NULL DEFAULT '',
  -- YYYY-MM-DD, or empty.
  budget_day      text COLLATE "C" NOT NULL DEFAULT '',
  generation      bigint NOT NULL,
  occurred_at     timestamptz NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  attempts        integer NOT NULL DEFAULT 0,
  -- NULL while it waits; DEAD was given up, DROPPED by an operator, OFF has no channel.
  outcome         text CHECK (outcome IN ('SENT', 'DEAD', 'DROPPED', 'OFF')),
  settled_at      timestamptz,
  last_error      text
);
CREATE INDEX deliveries_waiting ON deliveries (channel, route, next_attempt_at, id) WHERE outcome IS NULL;
CREATE INDEX deliveries_dead ON deliveries (id) WHERE outcome = 'DEAD';
CREATE INDEX deliveries_facts ON deliveries (campaign_id, budget_day, kind, created_at);

-- Pace and back-off of a route, so that they hold over a crash and over hosts.
CREATE TABLE relay_routes (
  channel    text COLLATE "C" NOT NULL,
  route      text COLLATE "C" NOT NULL,
  -- Nothing is sent before.
  not_before timestamptz NOT NULL,
  -- Failures since the last success.
  failures   integer NOT NULL DEFAULT 0,
  last_error text,
  PRIMARY KEY (channel, route)
);

-- One row: the host that sends.
CREATE TABLE relay_lease (
  sole        boolean PRIMARY KEY DEFAULT true CHECK (sole),
  owner       text NOT NULL DEFAULT '',
  lease_until timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO relay_lease DEFAULT VALUES;

-- How far something that is counted was told, and when.
CREATE TABLE alert_marks (
  name  text PRIMARY KEY,
  value bigint NOT NULL,
  at    timestamptz NOT NULL
);
INSERT INTO alert_marks (name, value, at) VALUES ('dead_letters', 0, 'epoch');
CREATE INDEX dead_letters_created ON dead_letters (created_at);

-- What the customer's campaign events tell besides status and budget.
ALTER TABLE campaigns
  ADD COLUMN product_id      text,
  ADD COLUMN placement       text,
  ADD COLUMN category        text,
  ADD COLUMN approval_status text,
  ADD COLUMN targeting       jsonb,
  ADD COLUMN effective_from  timestamptz,
  ADD COLUMN rtb_impact      text,
  ADD COLUMN bid_micros      bigint CHECK (bid_micros >= 0);

-- Campaigns that are looked at without a click.
CREATE INDEX campaigns_exhausted ON campaigns (campaign_id)
  WHERE status = 'PAUSED' AND paused_reason = 'BUDGET_EXHAUSTED';
CREATE INDEX campaigns_updated ON campaigns (updated_at);
