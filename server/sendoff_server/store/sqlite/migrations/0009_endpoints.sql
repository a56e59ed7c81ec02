-- Registered receivers of callbacks. `delivery_attempt_of` is a function of migrations (migrations.py).
CREATE TABLE endpoint (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  agent_id TEXT,            -- it gets runs of this agent only; NULL: all of the tenant
  events INTEGER NOT NULL,  -- which it gets: 1 run.started, 2 run.action_required, 4 run.finished, added up
  disabled INTEGER NOT NULL,
  url TEXT,                 -- NULL: what waits for it is pulled
  receiver TEXT,            -- host:port of the url
  create_time_ns INTEGER NOT NULL,
  etag TEXT NOT NULL,
  key_scope TEXT,           -- the idempotency key it was made with
  key_value TEXT,
  fingerprint BLOB NOT NULL,
  body BLOB NOT NULL,       -- sendoff.v1.CallbackEndpoint
  secrets TEXT NOT NULL     -- JSON: [text, until when it signs in ns or null], newest first
);
CREATE INDEX endpoint_by_time ON endpoint (tenant, create_time_ns);
CREATE UNIQUE INDEX endpoint_by_key ON endpoint (tenant, key_value, key_scope) WHERE key_value IS NOT NULL;

-- The outbox: callbacks on their way. A row is written in the transaction that starts or ends its run, and stays as long as the run
-- and the endpoint do.
ALTER TABLE delivery RENAME TO delivery_before;
DROP INDEX delivery_by_run;
DROP INDEX delivery_due;
DROP INDEX delivery_held;
CREATE TABLE delivery (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  run_no INTEGER NOT NULL,
  endpoint_no INTEGER,        -- NULL: it is the run's own callback
  kind INTEGER NOT NULL,      -- of endpoint.events
  sequence INTEGER NOT NULL,  -- of the event in the run's log
  url TEXT,                   -- of the run's own callback; an endpoint's is where it is now
  queue TEXT,                 -- what shares a limit: the endpoint's id, or host:port of the url; NULL: it is pulled
  status INTEGER NOT NULL,    -- sendoff.v1.DeliveryStatus
  create_ns INTEGER NOT NULL,
  window_ns INTEGER NOT NULL, -- from when on the time counts after which it is given up
  next_attempt_ns INTEGER,    -- NULL: it is delivered, or given up
  attempts INTEGER NOT NULL DEFAULT 0,
  owner INTEGER,              -- replica.no of who is trying it
  behind INTEGER,             -- delivery.no of the one to the same receiver that comes first, until that is done
  given_up_ns INTEGER,        -- when it was given up without an attempt
  error TEXT                  -- why
);
INSERT INTO delivery (
  no, id, tenant, run_no, kind, sequence, url, queue, status, create_ns, window_ns, next_attempt_ns, attempts, owner
)
SELECT d.no, d.id, d.tenant, d.run_no, CASE d.kind WHEN 'run.action_required' THEN 2 ELSE 4 END, r.last_sequence, d.url, d.receiver,
  CASE WHEN d.next_attempt_ns IS NOT NULL THEN 1 WHEN d.delivered THEN 2 ELSE 3 END,
  d.create_ns, d.create_ns, d.next_attempt_ns, d.attempts, d.owner
FROM delivery_before d JOIN run r ON r.no = d.run_no;

CREATE INDEX delivery_by_run ON delivery (run_no, endpoint_no);
CREATE INDEX delivery_by_status ON delivery (tenant, status);
CREATE INDEX delivery_by_endpoint ON delivery (endpoint_no, status);
CREATE INDEX delivery_due ON delivery (queue, next_attempt_ns)
  WHERE next_attempt_ns IS NOT NULL AND owner IS NULL AND behind IS NULL AND queue IS NOT NULL;
CREATE INDEX delivery_pulled ON delivery (endpoint_no, next_attempt_ns)
  WHERE next_attempt_ns IS NOT NULL AND owner IS NULL AND behind IS NULL AND queue IS NULL;
CREATE INDEX delivery_held ON delivery (owner) WHERE owner IS NOT NULL;
CREATE INDEX delivery_behind ON delivery (behind) WHERE behind IS NOT NULL;

-- The last attempts at each delivery. Key: delivery.no << 28 | 1, 2, 3.
CREATE TABLE delivery_attempt (
  key INTEGER PRIMARY KEY,
  body BLOB NOT NULL          -- sendoff.v1.DeliveryAttempt
);
INSERT INTO delivery_attempt (key, body)
SELECT d.no << 28 | d.attempts, delivery_attempt_of(d.last_attempt_ns, d.status_code, d.error)
FROM delivery_before d WHERE d.last_attempt_ns IS NOT NULL;
DROP TABLE delivery_before;

CREATE TRIGGER delivery_gone AFTER DELETE ON delivery BEGIN
  DELETE FROM delivery_attempt WHERE key >= old.no << 28 AND key < old.no + 1 << 28;
END;
