-- One row: the host that publishes dead letters, which need not be the one that sends messages.
CREATE TABLE dead_letter_lease (
  sole        INTEGER PRIMARY KEY DEFAULT 1 CHECK (sole = 1),
  owner       TEXT NOT NULL DEFAULT '',
  lease_until INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO dead_letter_lease DEFAULT VALUES;
