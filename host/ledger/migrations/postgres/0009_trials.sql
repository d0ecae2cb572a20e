-- Candidates beside the rules in force. One trial runs at a time.

CREATE TABLE rule_trials (
  id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind              text COLLATE "C" NOT NULL CHECK (kind IN ('SHADOW', 'CANARY')),
  -- RUNNING, or how it ended. A canary runs while its generation is in force.
  state             text COLLATE "C" NOT NULL DEFAULT 'RUNNING'
    CHECK (state IN ('RUNNING', 'STOPPED', 'PROMOTED', 'ABORTED', 'OVERTAKEN')),
  -- The generation that a canary is part of, and the one that was in force before.
  generation        bigint UNIQUE REFERENCES rule_generations (number),
  base_generation   bigint NOT NULL REFERENCES rule_generations (number),
  -- Whom it is about: these campaigns, and those whose place by SHA-256 of the salt and their id lies below the share.
  campaigns         jsonb NOT NULL,
  share_ppm         bigint NOT NULL CHECK (share_ppm BETWEEN 0 AND 1000000),
  salt              text NOT NULL,
  -- The most that the candidate may charge for a click.
  charge_max_micros bigint NOT NULL,
  -- When a canary ends by itself; NULL in a shadow.
  drift_max_ppm     bigint,
  clicks_min        bigint,
  faults_max        bigint,
  fuel_max          bigint,
  started_at        timestamptz NOT NULL DEFAULT now(),
  started_by        text NOT NULL,
  note              text NOT NULL,
  ended_at          timestamptz,
  ended_by          text,
  end_note          text,
  CHECK ((kind = 'CANARY') = (generation IS NOT NULL)),
  CHECK ((kind = 'CANARY') = (drift_max_ppm IS NOT NULL)),
  CHECK ((state = 'RUNNING') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX rule_trials_running ON rule_trials (state) WHERE state = 'RUNNING';

CREATE TABLE rule_trial_parts (
  trial  bigint NOT NULL REFERENCES rule_trials (id),
  world  text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL REFERENCES rule_modules (digest),
  params text NOT NULL,
  PRIMARY KEY (trial, world)
);

-- What all hosts have seen, by campaign. Sums never fall, and stay at the end of 64 bits.
CREATE TABLE trial_drift (
  trial              bigint NOT NULL REFERENCES rule_trials (id),
  campaign_id        text COLLATE "C" NOT NULL,
  clicks             bigint NOT NULL,
  clicks_differing   bigint NOT NULL,
  active_micros      bigint NOT NULL,
  raised_micros      bigint NOT NULL,
  lowered_micros     bigint NOT NULL,
  failed             bigint NOT NULL,
  refused            bigint NOT NULL,
  verdicts           bigint NOT NULL,
  verdicts_differing bigint NOT NULL,
  would_warn         bigint NOT NULL,
  would_pause        bigint NOT NULL,
  PRIMARY KEY (trial, campaign_id)
);

-- The same over all campaigns, and what it has cost.
CREATE TABLE trial_totals (
  trial              bigint PRIMARY KEY REFERENCES rule_trials (id),
  clicks             bigint NOT NULL DEFAULT 0,
  clicks_differing   bigint NOT NULL DEFAULT 0,
  active_micros      bigint NOT NULL DEFAULT 0,
  raised_micros      bigint NOT NULL DEFAULT 0,
  lowered_micros     bigint NOT NULL DEFAULT 0,
  failed             bigint NOT NULL DEFAULT 0,
  refused            bigint NOT NULL DEFAULT 0,
  verdicts           bigint NOT NULL DEFAULT 0,
  verdicts_differing bigint NOT NULL DEFAULT 0,
  would_warn         bigint NOT NULL DEFAULT 0,
  would_pause        bigint NOT NULL DEFAULT 0,
  calls              bigint NOT NULL DEFAULT 0,
  rows_asked         bigint NOT NULL DEFAULT 0,
  fuel               bigint NOT NULL DEFAULT 0,
  ns                 bigint NOT NULL DEFAULT 0,
  host_failures      bigint NOT NULL DEFAULT 0,
  skipped            bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
