-- The registry of rules: who has published what, every change and its reason, and where each generation begins.

ALTER TABLE rule_modules
  ADD COLUMN publisher text NOT NULL DEFAULT '',
  ADD COLUMN note      text NOT NULL DEFAULT '',
  -- Ed25519 in hexadecimal; NULL when nobody has signed the module.
  ADD COLUMN signature text,
  ADD COLUMN signer    text COLLATE "C",
  -- When the bytes were taken away, because nothing that is kept refers to them.
  ADD COLUMN pruned_at timestamptz,
  ADD CONSTRAINT rule_modules_signed CHECK ((signature IS NULL) = (signer IS NULL));
CREATE INDEX rule_modules_name ON rule_modules (name);

ALTER TABLE rule_generations
  -- The folder that it was activated from, as host:path; empty when it came from no folder.
  ADD COLUMN source     text COLLATE "C" NOT NULL DEFAULT '',
  -- Why it was found to be bad: nobody falls back to it. NULL: it was not.
  ADD COLUMN bad_reason text,
  -- The world whose rule was found to be bad; empty: all of it.
  ADD COLUMN bad_world  text COLLATE "C" NOT NULL DEFAULT '';

-- Every change of the registry. Rows are only added.
CREATE TABLE rule_changes (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  changed_at timestamptz NOT NULL DEFAULT now(),
  actor      text NOT NULL,
  kind       text COLLATE "C" NOT NULL,
  note       text NOT NULL,
  -- The generation that the change has made, and the one that was in force before.
  generation bigint,
  previous   bigint,
  digest     text COLLATE "C",
  detail     jsonb NOT NULL
);
CREATE INDEX rule_changes_generation ON rule_changes (generation);

CREATE FUNCTION tollgate_rule_changes_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of rule_changes are only added';
END $$;

CREATE TRIGGER rule_changes_kept BEFORE UPDATE OR DELETE ON rule_changes
  FOR EACH ROW EXECUTE FUNCTION tollgate_rule_changes_kept();

-- The first offset that a generation has priced in each partition. Whoever moves the generation of a partition holds the
-- row that every charge moves, so that each offset belongs to one generation, exactly.
CREATE TABLE rule_generation_starts (
  generation      bigint NOT NULL,
  consumer_group  text COLLATE "C" NOT NULL,
  topic           text COLLATE "C" NOT NULL,
  incarnation     integer NOT NULL,
  kafka_partition integer NOT NULL,
  first_offset    bigint NOT NULL,
  PRIMARY KEY (topic, incarnation, kafka_partition, generation, consumer_group)
);
-- Where generations began that are older than this table is not known, so they have no row.

CREATE FUNCTION tollgate_generation_started() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO rule_generation_starts (generation, consumer_group, topic, incarnation, kafka_partition, first_offset)
  VALUES (NEW.generation, NEW.consumer_group, NEW.topic, NEW.incarnation, NEW.kafka_partition, NEW.next_offset)
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;

CREATE TRIGGER generation_started AFTER INSERT ON consumer_progress
  FOR EACH ROW EXECUTE FUNCTION tollgate_generation_started();
CREATE TRIGGER generation_changed AFTER UPDATE OF generation, incarnation ON consumer_progress
  FOR EACH ROW WHEN (OLD.generation <> NEW.generation OR OLD.incarnation <> NEW.incarnation)
  EXECUTE FUNCTION tollgate_generation_started();
