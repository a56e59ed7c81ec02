-- Conversations beside the default one of each agent, which has nothing but its lane.
CREATE TABLE conversation (
  no INTEGER PRIMARY KEY,   -- lane.no
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  agent_no INTEGER NOT NULL,
  create_time_ns INTEGER NOT NULL,
  etag TEXT NOT NULL,
  key_scope TEXT,           -- the idempotency key it was made with
  key_value TEXT,
  fingerprint BLOB NOT NULL,
  body BLOB NOT NULL        -- sendoff.v1.Conversation, without what is told on reading
);
CREATE INDEX conversation_by_time ON conversation (tenant, create_time_ns);
CREATE INDEX conversation_by_agent ON conversation (agent_no, create_time_ns);
CREATE UNIQUE INDEX conversation_by_key ON conversation (tenant, key_value, key_scope) WHERE key_value IS NOT NULL;

-- The history that a fork begins with: which messages of which runs, in place of a copy of them. They outlive the run, if its
-- conversation is deleted, for as long as a row here names them; so numbers of runs that are named here are not given again.
CREATE TABLE inherited (
  lane_no INTEGER NOT NULL,
  seq INTEGER NOT NULL,         -- the run's place in its own lane, so that its messages keep their positions
  run_no INTEGER NOT NULL,
  last_place INTEGER NOT NULL,  -- of the last message that is part of it; the place is the low 20 bits of message.key
  PRIMARY KEY (lane_no, seq)
) WITHOUT ROWID;
CREATE INDEX inherited_by_run ON inherited (run_no);
