-- One row: the host that publishes dead letters, which need not be the one that sends messages.
CREATE TABLE dead_letter_lease (
  sole        boolean PRIMARY KEY DEFAULT true CHECK (sole),
  owner       text NOT NULL DEFAULT '',
  lease_until timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO dead_letter_lease DEFAULT VALUES;
