-- Ids are compared byte by byte (COLLATE "C"), as the host sorts them: whatever way the planner takes through an
-- index, rows are locked in the order of the host's sorted lists.

CREATE TABLE ad_balance_histories (
  kafka_offset         bigint NOT NULL,
  amount_micros        bigint NOT NULL,
  balance_after_micros bigint NOT NULL,
  generation           bigint NOT NULL,
  occurred_at          timestamptz NOT NULL,
  created_at           timestamptz NOT NULL DEFAULT now(),
  budget_day           date NOT NULL,
  kafka_partition      integer NOT NULL,
  incarnation          integer NOT NULL,
  type                 text COLLATE "C" NOT NULL,
  advertiser_id        text COLLATE "C" NOT NULL,
  campaign_id          text COLLATE "C" NOT NULL,
  ad_id                text COLLATE "C",
  device_id            text COLLATE "C",
  kafka_topic          text COLLATE "C" NOT NULL,
  price_source         text COLLATE "C" NOT NULL,
  reason               text COLLATE "C" NOT NULL,
  CONSTRAINT ad_balance_histories_amount CHECK (
    (type = 'DEDUCT' AND amount_micros <= 0) OR (type = 'REFUND' AND amount_micros >= 0))
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);

-- A record is charged once. Offsets of a partition grow, so that inserts touch few pages.
CREATE UNIQUE INDEX ad_balance_histories_record
  ON ad_balance_histories (kafka_partition, kafka_offset, incarnation, kafka_topic);

CREATE TABLE campaigns (
  campaign_id         text COLLATE "C" PRIMARY KEY,
  advertiser_id       text COLLATE "C" NOT NULL,
  status              text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('PENDING', 'ACTIVE', 'PAUSED', 'DELETED')),
  paused_reason       text,
  paused_day          date,
  daily_budget_micros bigint CHECK (daily_budget_micros >= 0),
  cpc_micros          bigint NOT NULL CHECK (cpc_micros >= 0),
  time_zone           text NOT NULL DEFAULT 'Asia/Seoul',
  -- Starts at the clock, so that it grows over a deletion and a new insertion, too.
  version             bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
  updated_at          timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);

CREATE FUNCTION tollgate_campaign_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.version <= OLD.version AND NEW IS DISTINCT FROM OLD THEN
    NEW.version := OLD.version + 1;
  END IF;
  IF NEW.version <> OLD.version THEN
    NEW.updated_at := clock_timestamp();
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER campaign_changed BEFORE UPDATE ON campaigns
  FOR EACH ROW EXECUTE FUNCTION tollgate_campaign_changed();

CREATE TABLE advertiser_balances (
  advertiser_id  text COLLATE "C" PRIMARY KEY,
  opening_micros bigint NOT NULL DEFAULT 0,
  balance_micros bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Every movement of a balance that is not in history, so that the chain of balances can be followed.
CREATE TABLE opening_changes (
  advertiser_id         text COLLATE "C" NOT NULL,
  opening_before_micros bigint NOT NULL,
  opening_after_micros  bigint NOT NULL,
  balance_before_micros bigint NOT NULL,
  balance_after_micros  bigint NOT NULL,
  created_at            timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION tollgate_opening_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO opening_changes (
    advertiser_id, opening_before_micros, opening_after_micros, balance_before_micros, balance_after_micros)
  VALUES (NEW.advertiser_id, OLD.opening_micros, NEW.opening_micros, OLD.balance_micros, NEW.balance_micros);
  RETURN NULL;
END $$;

CREATE TRIGGER opening_changed AFTER UPDATE OF opening_micros ON advertiser_balances
  FOR EACH ROW WHEN (OLD.opening_micros <> NEW.opening_micros) EXECUTE FUNCTION tollgate_opening_changed();

CREATE TABLE campaign_daily_spend (
  campaign_id            text COLLATE "C" NOT NULL,
  day                    date NOT NULL,
  spent_micros           bigint NOT NULL DEFAULT 0,
  warned_ppm             bigint NOT NULL DEFAULT 0,
  paused_ppm             bigint NOT NULL DEFAULT 0,
  crossing_budget_micros bigint,
  overspent_micros       bigint NOT NULL DEFAULT 0,
  version                bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (campaign_id, day)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

CREATE TABLE consumer_progress (
  consumer_group  text COLLATE "C" NOT NULL,
  topic           text COLLATE "C" NOT NULL,
  kafka_partition integer NOT NULL,
  -- Empty when the broker gives topics no id.
  topic_id        text NOT NULL,
  incarnation     integer NOT NULL DEFAULT 0,
  first_offset    bigint NOT NULL,
  next_offset     bigint NOT NULL,
  epoch           bigint NOT NULL DEFAULT 0,
  generation      bigint NOT NULL,
  charged         bigint NOT NULL DEFAULT 0,
  skipped         bigint NOT NULL DEFAULT 0,
  dead            bigint NOT NULL DEFAULT 0,
  absent          bigint NOT NULL DEFAULT 0,
  owner           text NOT NULL DEFAULT '',
  halted_reason   text,
  updated_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer_group, topic, kafka_partition)
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Progress in topics that were created again since: what their history and dead letters have to add up to.
CREATE TABLE retired_progress (
  consumer_group  text COLLATE "C" NOT NULL,
  topic           text COLLATE "C" NOT NULL,
  kafka_partition integer NOT NULL,
  incarnation     integer NOT NULL,
  topic_id        text NOT NULL,
  first_offset    bigint NOT NULL,
  next_offset     bigint NOT NULL,
  charged         bigint NOT NULL,
  skipped         bigint NOT NULL,
  dead            bigint NOT NULL,
  absent          bigint NOT NULL,
  retired_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer_group, topic, kafka_partition, incarnation)
);

CREATE TABLE budget_crossings (
  campaign_id   text COLLATE "C" NOT NULL,
  day           date NOT NULL,
  kind          text COLLATE "C" NOT NULL CHECK (kind IN ('WARN', 'PAUSE', 'RESUME')),
  level_ppm     bigint NOT NULL,
  budget_micros bigint NOT NULL,
  round         bigint NOT NULL,
  advertiser_id text COLLATE "C" NOT NULL,
  usage_ppm     bigint NOT NULL,
  spent_micros  bigint NOT NULL,
  reason        text NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (campaign_id, day, kind, level_ppm, budget_micros, round)
);

CREATE TABLE outbox (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  dedup_key       text COLLATE "C" NOT NULL UNIQUE,
  kind            text COLLATE "C" NOT NULL,
  payload         jsonb NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  attempts        integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  lease_until     timestamptz,
  sent_at         timestamptz,
  dead_at         timestamptz,
  last_error      text
);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE sent_at IS NULL AND dead_at IS NULL;

CREATE TABLE dead_letters (
  topic           text COLLATE "C" NOT NULL,
  incarnation     integer NOT NULL,
  kafka_partition integer NOT NULL,
  kafka_offset    bigint NOT NULL,
  code            text COLLATE "C" NOT NULL,
  stage           text COLLATE "C" NOT NULL,
  sentence        text NOT NULL,
  record_at_ms    bigint NOT NULL,
  message_key     bytea,
  payload         bytea,
  -- Pairs of name and value; the value is base64, or null when the header has none.
  headers         jsonb NOT NULL DEFAULT '[]',
  generation      bigint NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  published_at    timestamptz,
  PRIMARY KEY (topic, incarnation, kafka_partition, kafka_offset)
);
CREATE INDEX dead_letters_unpublished ON dead_letters (created_at) WHERE published_at IS NULL;

CREATE TABLE rule_modules (
  digest     text COLLATE "C" PRIMARY KEY,
  world      text NOT NULL,
  name       text NOT NULL,
  version    text NOT NULL,
  bytes      bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rule_generations (
  number     bigint PRIMARY KEY,
  author     text NOT NULL,
  note       text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rule_generation_parts (
  number bigint NOT NULL REFERENCES rule_generations,
  world  text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL REFERENCES rule_modules,
  params text NOT NULL,
  PRIMARY KEY (number, world)
);

-- One row; 0 until the first activation.
CREATE TABLE rule_activation (
  sole   boolean PRIMARY KEY DEFAULT true CHECK (sole),
  number bigint NOT NULL
);
INSERT INTO rule_activation (number) VALUES (0);

CREATE TABLE operator_actions (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  action     text NOT NULL,
  subject    text NOT NULL,
  detail     text NOT NULL,
  note       text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Says why a fence did not hold: TG001 another process has the partition, TG002 another generation is active.
CREATE FUNCTION tollgate_fence_miss_v1(
  grp text, gen bigint, topics text[], partitions integer[], epochs bigint[], incarnations integer[], expected bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  active bigint;
  held bigint;
BEGIN
  SELECT count(*) INTO held
  FROM unnest(topics, partitions, epochs, incarnations, expected) AS w (topic, part, epoch, incarnation, next)
  JOIN consumer_progress p ON p.consumer_group = grp AND p.topic = w.topic AND p.kafka_partition = w.part
  WHERE p.epoch = w.epoch AND p.incarnation = w.incarnation AND p.next_offset = w.next;
  IF held = cardinality(topics) THEN
    SELECT number INTO active FROM rule_activation;
    RAISE EXCEPTION '%', active USING ERRCODE = 'TG002';
  END IF;
  RAISE EXCEPTION '% of % partitions held', held, cardinality(topics) USING ERRCODE = 'TG001';
END $$;

CREATE FUNCTION tollgate_advance_v1(
  grp text, gen bigint, topics text[], partitions integer[], epochs bigint[], incarnations integer[],
  expected bigint[], nexts bigint[], charged_ bigint[], skipped_ bigint[], dead_ bigint[], absent_ bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  moved bigint;
  active bigint;
BEGIN
  IF cardinality(topics) = 0 THEN
    SELECT number INTO active FROM rule_activation FOR SHARE;
    IF active <> gen THEN
      RAISE EXCEPTION '%', active USING ERRCODE = 'TG002';
    END IF;
    RETURN;
  END IF;
  UPDATE consumer_progress p SET
    next_offset = w.next, charged = p.charged + w.charged, skipped = p.skipped + w.skipped,
    dead = p.dead + w.dead, absent = p.absent + w.absent, updated_at = now()
  FROM unnest(topics, partitions, epochs, incarnations, expected, nexts, charged_, skipped_, dead_, absent_)
    AS w (topic, part, epoch, incarnation, expected, next, charged, skipped, dead, absent)
  WHERE p.consumer_group = grp AND p.topic = w.topic AND p.kafka_partition = w.part
    AND p.epoch = w.epoch AND p.incarnation = w.incarnation AND p.next_offset = w.expected AND p.generation = gen;
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved <> cardinality(topics) THEN
    PERFORM tollgate_fence_miss_v1(grp, gen, topics, partitions, epochs, incarnations, expected);
  END IF;
END $$;

-- The hot part of a plan. TG003: a row is not what the plan was decided on.
CREATE FUNCTION tollgate_apply_v1(
  grp text, gen bigint, topics text[], partitions integer[], epochs bigint[], incarnations integer[],
  expected bigint[], nexts bigint[], charged_ bigint[], skipped_ bigint[], dead_ bigint[], absent_ bigint[],
  b_ids text[], b_expected bigint[], b_new bigint[],
  d_campaigns text[], d_days integer[], d_campaign_versions bigint[], d_versions bigint[], d_spent bigint[],
  d_warned bigint[], d_paused bigint[], d_budgets bigint[], d_overspent bigint[],
  h_sources integer[], h_offsets bigint[], h_amounts bigint[], h_after bigint[], h_at_us bigint[], h_days integer[],
  h_advertisers text[], h_campaigns text[], h_ads text[], h_devices text[], h_reasons integer[],
  r_sources text[], r_names text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  moved bigint;
BEGIN
  PERFORM tollgate_advance_v1(grp, gen, topics, partitions, epochs, incarnations,
    expected, nexts, charged_, skipped_, dead_, absent_);
  IF 0 = ANY (b_expected) THEN
    INSERT INTO advertiser_balances (advertiser_id)
    SELECT w.id FROM unnest(b_ids, b_expected) AS w (id, expected) WHERE w.expected = 0
    ON CONFLICT DO NOTHING;
  END IF;
  UPDATE advertiser_balances b SET balance_micros = w.new
  FROM unnest(b_ids, b_expected, b_new) AS w (id, expected, new)
  WHERE b.advertiser_id = w.id AND b.balance_micros = w.expected;
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved <> cardinality(b_ids) THEN
    RAISE EXCEPTION 'a balance has moved' USING ERRCODE = 'TG003';
  END IF;
  IF 0 = ANY (d_versions) THEN
    INSERT INTO campaign_daily_spend (campaign_id, day)
    SELECT w.campaign, DATE '1970-01-01' + w.day
    FROM unnest(d_campaigns, d_days, d_versions) AS w (campaign, day, version) WHERE w.version = 0
    ON CONFLICT DO NOTHING;
  END IF;
  UPDATE campaign_daily_spend d SET
    spent_micros = w.spent, warned_ppm = w.warned, paused_ppm = w.paused, crossing_budget_micros = w.budget,
    overspent_micros = w.overspent, version = w.version + 1
  FROM unnest(d_campaigns, d_days, d_campaign_versions, d_versions, d_spent, d_warned, d_paused, d_budgets, d_overspent)
    AS w (campaign, day, campaign_version, version, spent, warned, paused, budget, overspent)
  JOIN campaigns c ON c.campaign_id = w.campaign AND c.version = w.campaign_version
  WHERE d.campaign_id = w.campaign AND d.day = DATE '1970-01-01' + w.day AND d.version = w.version;
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved <> cardinality(d_campaigns) THEN
    RAISE EXCEPTION 'a day or its campaign has changed' USING ERRCODE = 'TG003';
  END IF;
  IF cardinality(h_offsets) > 0 THEN
    INSERT INTO ad_balance_histories (
      kafka_offset, amount_micros, balance_after_micros, generation, occurred_at, budget_day, kafka_partition,
      incarnation, type, advertiser_id, campaign_id, ad_id, device_id, kafka_topic, price_source, reason)
    SELECT w.off, w.amount, w.after, gen, TIMESTAMPTZ 'epoch' + w.at_us * INTERVAL '1 microsecond',
      DATE '1970-01-01' + w.day, partitions[w.source], incarnations[w.source], 'DEDUCT', w.advertiser, w.campaign,
      w.ad, w.device, topics[w.source], r_sources[w.reason], r_names[w.reason]
    FROM unnest(h_sources, h_offsets, h_amounts, h_after, h_at_us, h_days, h_advertisers, h_campaigns, h_ads,
      h_devices, h_reasons)
      AS w (source, off, amount, after, at_us, day, advertiser, campaign, ad, device, reason);
  END IF;
  RETURN true;
END $$;

-- The rare part of a plan; `hot` is the answer of the hot part, so that it runs first.
CREATE FUNCTION tollgate_rare_v1(
  hot boolean,
  c_campaigns text[], c_versions bigint[], c_new_versions bigint[], c_statuses text[], c_reasons text[], c_days integer[],
  x_campaigns text[], x_days integer[], x_kinds text[], x_levels bigint[], x_budgets bigint[], x_rounds bigint[],
  x_advertisers text[], x_usages bigint[], x_spents bigint[], x_reasons text[],
  o_keys text[], o_kinds text[], o_payloads text[],
  l_topics text[], l_incarnations integer[], l_partitions integer[], l_offsets bigint[], l_codes text[], l_stages text[],
  l_sentences text[], l_at_ms bigint[], l_keys bytea[], l_payloads bytea[], l_headers text[], l_generations bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  moved bigint;
BEGIN
  UPDATE campaigns c SET status = w.status, paused_reason = w.reason, paused_day = DATE '1970-01-01' + w.day,
    version = w.new_version
  FROM unnest(c_campaigns, c_versions, c_new_versions, c_statuses, c_reasons, c_days)
    AS w (campaign, version, new_version, status, reason, day)
  WHERE c.campaign_id = w.campaign AND c.version = w.version;
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved <> cardinality(c_campaigns) THEN
    RAISE EXCEPTION 'a campaign has changed' USING ERRCODE = 'TG003';
  END IF;
  INSERT INTO budget_crossings (campaign_id, day, kind, level_ppm, budget_micros, round, advertiser_id, usage_ppm,
    spent_micros, reason)
  SELECT w.campaign, DATE '1970-01-01' + w.day, w.kind, w.level, w.budget, w.round, w.advertiser, w.usage, w.spent,
    w.reason
  FROM unnest(x_campaigns, x_days, x_kinds, x_levels, x_budgets, x_rounds, x_advertisers, x_usages, x_spents, x_reasons)
    AS w (campaign, day, kind, level, budget, round, advertiser, usage, spent, reason)
  ON CONFLICT DO NOTHING;
  INSERT INTO outbox (dedup_key, kind, payload)
  SELECT w.key, w.kind, w.payload::jsonb FROM unnest(o_keys, o_kinds, o_payloads) AS w (key, kind, payload)
  ON CONFLICT (dedup_key) DO NOTHING;
  INSERT INTO dead_letters (topic, incarnation, kafka_partition, kafka_offset, code, stage, sentence, record_at_ms,
    message_key, payload, headers, generation)
  SELECT w.topic, w.incarnation, w.part, w.off, w.code, w.stage, w.sentence, w.at_ms, w.key, w.payload,
    w.headers::jsonb, w.generation
  FROM unnest(l_topics, l_incarnations, l_partitions, l_offsets, l_codes, l_stages, l_sentences, l_at_ms, l_keys,
    l_payloads, l_headers, l_generations)
    AS w (topic, incarnation, part, off, code, stage, sentence, at_ms, key, payload, headers, generation);
END $$;

-- Locks everything that a batch will be decided on, in the one order: progress, balances, days.
CREATE FUNCTION tollgate_lock_v1(
  grp text, gen bigint, topics text[], partitions integer[], epochs bigint[], incarnations integer[], expected bigint[],
  b_ids text[], d_campaigns text[], d_days integer[]
) RETURNS TABLE (
  advertiser text, balance bigint, campaign text, day integer, spent bigint, warned bigint, paused bigint,
  budget bigint, overspent bigint, version bigint
) LANGUAGE plpgsql AS $$
DECLARE
  held bigint;
  active bigint;
BEGIN
  PERFORM 1
  FROM unnest(topics, partitions, epochs, incarnations, expected) AS w (topic, part, epoch, incarnation, expected)
  JOIN consumer_progress p ON p.consumer_group = grp AND p.topic = w.topic AND p.kafka_partition = w.part
  WHERE p.epoch = w.epoch AND p.incarnation = w.incarnation AND p.next_offset = w.expected AND p.generation = gen
  FOR NO KEY UPDATE OF p;
  GET DIAGNOSTICS held = ROW_COUNT;
  IF held <> cardinality(topics) THEN
    PERFORM tollgate_fence_miss_v1(grp, gen, topics, partitions, epochs, incarnations, expected);
  END IF;
  INSERT INTO advertiser_balances (advertiser_id) SELECT w.id FROM unnest(b_ids) AS w (id) ON CONFLICT DO NOTHING;
  RETURN QUERY
    SELECT b.advertiser_id, b.balance_micros, NULL::text, NULL::integer, NULL::bigint, NULL::bigint, NULL::bigint,
      NULL::bigint, NULL::bigint, NULL::bigint
    FROM unnest(b_ids) AS w (id) JOIN advertiser_balances b ON b.advertiser_id = w.id
    FOR NO KEY UPDATE OF b;
  INSERT INTO campaign_daily_spend (campaign_id, day)
  SELECT w.campaign, DATE '1970-01-01' + w.day FROM unnest(d_campaigns, d_days) AS w (campaign, day)
  ON CONFLICT DO NOTHING;
  RETURN QUERY
    SELECT NULL::text, NULL::bigint, d.campaign_id, d.day - DATE '1970-01-01', d.spent_micros, d.warned_ppm,
      d.paused_ppm, d.crossing_budget_micros, d.overspent_micros, d.version
    FROM unnest(d_campaigns, d_days) AS w (campaign, day)
    JOIN campaign_daily_spend d ON d.campaign_id = w.campaign AND d.day = DATE '1970-01-01' + w.day
    FOR NO KEY UPDATE OF d;
END $$;
