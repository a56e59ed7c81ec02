-- The outbox: callbacks on their way. A row is written in the transaction that ends its run, and stays as long as the run.
CREATE TABLE delivery (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  run_no INTEGER NOT NULL,
  kind TEXT NOT NULL,
  url TEXT NOT NULL,
  receiver TEXT NOT NULL,           -- host:port; deliveries to one share a limit
  create_ns INTEGER NOT NULL,
  next_attempt_ns INTEGER,          -- NULL: it is delivered, or given up
  attempts INTEGER NOT NULL DEFAULT 0,
  owner INTEGER,                    -- replica.no of who is trying it
  delivered INTEGER NOT NULL DEFAULT 0,
  last_attempt_ns INTEGER,
  status_code INTEGER,              -- what the receiver answered the last time
  error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX delivery_by_run ON delivery (run_no);
CREATE INDEX delivery_due ON delivery (receiver, next_attempt_ns) WHERE next_attempt_ns IS NOT NULL AND owner IS NULL;
CREATE INDEX delivery_held ON delivery (owner) WHERE owner IS NOT NULL;
