-- Integer keys inside, text ids outside: rows of one moment lie together at the end of their table, so that a batch touches
-- few pages, and tables with bodies are rowid tables, whose leaves hold a body of up to a page without overflow.

-- One row per process start. AUTOINCREMENT: a number never comes back, or a dead replica could pass for a later one.
CREATE TABLE replica (
  no INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  beat_ns INTEGER NOT NULL
);

CREATE TABLE agent (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  create_time_ns INTEGER NOT NULL,
  etag TEXT NOT NULL,
  key_scope TEXT,           -- the idempotency key it was made with
  key_value TEXT,
  fingerprint BLOB NOT NULL,
  body BLOB NOT NULL        -- sendoff.v1.Agent
);
CREATE INDEX agent_by_time ON agent (tenant, create_time_ns);
CREATE UNIQUE INDEX agent_by_key ON agent (tenant, key_value, key_scope) WHERE key_value IS NOT NULL;

-- Lock, queue head and lease of a conversation in one row.
CREATE TABLE lane (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  agent_no INTEGER NOT NULL,
  last_seq INTEGER NOT NULL DEFAULT 0,
  head_seq INTEGER NOT NULL DEFAULT 1,  -- no run with a smaller seq is open
  open INTEGER NOT NULL DEFAULT 0,      -- how many runs have not ended
  owner INTEGER,                        -- replica.no of who holds the lease
  ready_at_ns INTEGER NOT NULL DEFAULT 0,
  priority INTEGER NOT NULL DEFAULT 3
);
CREATE INDEX lane_by_agent ON lane (agent_no);
-- Only lanes with something to do. Finds those that wait (owner IS NULL), those of a replica, and all active ones.
CREATE INDEX lane_active ON lane (owner, priority, ready_at_ns) WHERE open > 0 OR owner IS NOT NULL;

CREATE TABLE run (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  lane_no INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  create_time_ns INTEGER NOT NULL,
  status INTEGER NOT NULL,
  stop_reason INTEGER,
  background INTEGER,
  last_sequence INTEGER NOT NULL,
  cancel_wanted TEXT,
  fingerprint BLOB NOT NULL,
  body BLOB NOT NULL        -- sendoff.v1.Run
);
CREATE UNIQUE INDEX run_by_lane ON run (lane_no, seq);
CREATE INDEX run_by_time ON run (tenant, create_time_ns);

CREATE TABLE run_key (
  tenant TEXT NOT NULL,
  value TEXT NOT NULL,
  scope TEXT NOT NULL,
  run_no INTEGER NOT NULL,
  PRIMARY KEY (tenant, value, scope)
) WITHOUT ROWID;
CREATE INDEX run_key_by_run ON run_key (run_no);

-- What a run brings along. In all three the key is run.no << 20 | place inside the run.

-- Place 0: the request as accepted. From 1: sendoff.v1.RunEvent by sequence. One table because an accept writes one of each.
CREATE TABLE run_log (
  key INTEGER PRIMARY KEY,
  body BLOB NOT NULL
);

-- Place: the low 20 bits of Message.position, whose high bits are the run's seq.
CREATE TABLE message (
  key INTEGER PRIMARY KEY,
  body BLOB NOT NULL        -- sendoff.v1.Message
);

-- Place: Step.index.
CREATE TABLE step (
  key INTEGER PRIMARY KEY,
  body BLOB NOT NULL        -- sendoff.v1.Step
);
