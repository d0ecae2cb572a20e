-- The registry of rules: who has published what, every change and its reason, and where each generation begins.

ALTER TABLE rule_modules ADD COLUMN publisher TEXT NOT NULL DEFAULT '';
ALTER TABLE rule_modules ADD COLUMN note TEXT NOT NULL DEFAULT '';
-- Ed25519 in hexadecimal; NULL when nobody has signed the module.
ALTER TABLE rule_modules ADD COLUMN signature TEXT;
ALTER TABLE rule_modules ADD COLUMN signer TEXT CHECK ((signature IS NULL) = (signer IS NULL));
-- When the bytes were taken away, because nothing that is kept refers to them.
ALTER TABLE rule_modules ADD COLUMN pruned_at INTEGER;
CREATE INDEX rule_modules_name ON rule_modules (name);

-- The folder that it was activated from, as host:path; empty when it came from no folder.
ALTER TABLE rule_generations ADD COLUMN source TEXT NOT NULL DEFAULT '';
-- Why it was found to be bad: nobody falls back to it. NULL: it was not.
ALTER TABLE rule_generations ADD COLUMN bad_reason TEXT;
-- The world whose rule was found to be bad; empty: all of it.
ALTER TABLE rule_generations ADD COLUMN bad_world TEXT NOT NULL DEFAULT '';

-- Every change of the registry. Rows are only added.
CREATE TABLE rule_changes (
  id         INTEGER PRIMARY KEY,
  changed_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000),
  actor      TEXT NOT NULL,
  kind       TEXT NOT NULL,
  note       TEXT NOT NULL,
  -- The generation that the change has made, and the one that was in force before.
  generation INTEGER,
  previous   INTEGER,
  digest     TEXT,
  detail     TEXT NOT NULL CHECK (json_valid(detail))
) STRICT;
CREATE INDEX rule_changes_generation ON rule_changes (generation);

CREATE TRIGGER rule_changes_unchanged BEFORE UPDATE ON rule_changes
BEGIN
  SELECT RAISE(ABORT, 'rows of rule_changes are only added');
END;
CREATE TRIGGER rule_changes_kept BEFORE DELETE ON rule_changes
BEGIN
  SELECT RAISE(ABORT, 'rows of rule_changes are only added');
END;

-- The first offset that a generation has priced in each partition. Whoever moves the generation of a partition holds the
-- row that every charge moves, so that each offset belongs to one generation, exactly.
CREATE TABLE rule_generation_starts (
  generation      INTEGER NOT NULL,
  consumer_group  TEXT NOT NULL,
  topic           TEXT NOT NULL,
  incarnation     INTEGER NOT NULL,
  kafka_partition INTEGER NOT NULL,
  first_offset    INTEGER NOT NULL,
  PRIMARY KEY (topic, incarnation, kafka_partition, generation, consumer_group)
) STRICT, WITHOUT ROWID;
-- Where generations began that are older than this table is not known, so they have no row.

CREATE TRIGGER generation_started AFTER INSERT ON consumer_progress FOR EACH ROW
BEGIN
  INSERT OR IGNORE INTO rule_generation_starts (
    generation, consumer_group, topic, incarnation, kafka_partition, first_offset)
  VALUES (NEW.generation, NEW.consumer_group, NEW.topic, NEW.incarnation, NEW.kafka_partition, NEW.next_offset);
END;

CREATE TRIGGER generation_changed AFTER UPDATE OF generation, incarnation ON consumer_progress FOR EACH ROW
WHEN OLD.generation <> NEW.generation OR OLD.incarnation <> NEW.incarnation
BEGIN
  INSERT OR IGNORE INTO rule_generation_starts (
    generation, consumer_group, topic, incarnation, kafka_partition, first_offset)
  VALUES (NEW.generation, NEW.consumer_group, NEW.topic, NEW.incarnation, NEW.kafka_partition, NEW.next_offset);
END;
