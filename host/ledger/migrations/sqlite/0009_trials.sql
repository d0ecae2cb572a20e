-- Candidates beside the rules in force. One trial runs at a time.

CREATE TABLE rule_trials (
  id                INTEGER PRIMARY KEY,
  kind              TEXT NOT NULL CHECK (kind IN ('SHADOW', 'CANARY')),
  -- RUNNING, or how it ended. A canary runs while its generation is in force.
  state             TEXT NOT NULL DEFAULT 'RUNNING'
    CHECK (state IN ('RUNNING', 'STOPPED', 'PROMOTED', 'ABORTED', 'OVERTAKEN')),
  -- The generation that a canary is part of, and the one that was in force before.
  generation        INTEGER UNIQUE REFERENCES rule_generations (number),
  base_generation   INTEGER NOT NULL REFERENCES rule_generations (number),
  -- Whom it is about: these campaigns, and those whose place by SHA-256 of the salt and their id lies below the share.
  campaigns         TEXT NOT NULL CHECK (json_valid(campaigns)),
  share_ppm         INTEGER NOT NULL CHECK (share_ppm BETWEEN 0 AND 1000000),
  salt              TEXT NOT NULL,
  -- The most that the candidate may charge for a click.
  charge_max_micros INTEGER NOT NULL,
  -- When a canary ends by itself; NULL in a shadow.
  drift_max_ppm     INTEGER,
  clicks_min        INTEGER,
  faults_max        INTEGER,
  fuel_max          INTEGER,
  started_at        INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  started_by        TEXT NOT NULL,
  note              TEXT NOT NULL,
  ended_at          INTEGER,
  ended_by          TEXT,
  end_note          TEXT,
  CHECK ((kind = 'CANARY') = (generation IS NOT NULL)),
  CHECK ((kind = 'CANARY') = (drift_max_ppm IS NOT NULL)),
  CHECK ((state = 'RUNNING') = (ended_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX rule_trials_running ON rule_trials (state) WHERE state = 'RUNNING';

CREATE TABLE rule_trial_parts (
  trial  INTEGER NOT NULL REFERENCES rule_trials (id),
  world  TEXT NOT NULL,
  digest TEXT NOT NULL REFERENCES rule_modules (digest),
  params TEXT NOT NULL,
  PRIMARY KEY (trial, world)
) STRICT;

-- What all hosts have seen, by campaign. Sums never fall, and stay at the end of 64 bits.
CREATE TABLE trial_drift (
  trial              INTEGER NOT NULL REFERENCES rule_trials (id),
  campaign_id        TEXT NOT NULL,
  clicks             INTEGER NOT NULL,
  clicks_differing   INTEGER NOT NULL,
  active_micros      INTEGER NOT NULL,
  raised_micros      INTEGER NOT NULL,
  lowered_micros     INTEGER NOT NULL,
  failed             INTEGER NOT NULL,
  refused            INTEGER NOT NULL,
  verdicts           INTEGER NOT NULL,
  verdicts_differing INTEGER NOT NULL,
  would_warn         INTEGER NOT NULL,
  would_pause        INTEGER NOT NULL,
  PRIMARY KEY (trial, campaign_id)
) STRICT;

-- The same over all campaigns, and what it has cost.
CREATE TABLE trial_totals (
  trial              INTEGER PRIMARY KEY REFERENCES rule_trials (id),
  clicks             INTEGER NOT NULL DEFAULT 0,
  clicks_differing   INTEGER NOT NULL DEFAULT 0,
  active_micros      INTEGER NOT NULL DEFAULT 0,
  raised_micros      INTEGER NOT NULL DEFAULT 0,
  lowered_micros     INTEGER NOT NULL DEFAULT 0,
  failed             INTEGER NOT NULL DEFAULT 0,
  refused            INTEGER NOT NULL DEFAULT 0,
  verdicts           INTEGER NOT NULL DEFAULT 0,
  verdicts_differing INTEGER NOT NULL DEFAULT 0,
  would_warn         INTEGER NOT NULL DEFAULT 0,
  would_pause        INTEGER NOT NULL DEFAULT 0,
  calls              INTEGER NOT NULL DEFAULT 0,
  rows_asked         INTEGER NOT NULL DEFAULT 0,
  fuel               INTEGER NOT NULL DEFAULT 0,
  ns                 INTEGER NOT NULL DEFAULT 0,
  host_failures      INTEGER NOT NULL DEFAULT 0,
  skipped            INTEGER NOT NULL DEFAULT 0
) STRICT;
