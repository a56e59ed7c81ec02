-- Integer keys inside, text ids outside, as in the other engine. What this server names itself (ids, etags, tenants, scopes of keys)
-- is text; what callers write is bytea, its UTF-8: a text cannot hold every string that they may send, and bytes of UTF-8 sort
-- like code points. Columns that end with _folded hold the same without case. Bodies come last in their rows.

-- One row per process start. Locked by every transaction that writes (FOR KEY SHARE), so that the dead write nothing.
CREATE TABLE replica (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  beat_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE agent (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  tenant text COLLATE "C" NOT NULL,
  create_time_ns bigint NOT NULL,
  etag text NOT NULL,
  key_scope text,           -- the idempotency key it was made with
  key_value bytea,
  fingerprint bytea NOT NULL,
  body bytea NOT NULL       -- sendoff.v1.Agent
);
CREATE UNIQUE INDEX agent_by_key ON agent (tenant, key_value, key_scope) WHERE key_value IS NOT NULL;

-- What lists of agents go by and look for.
CREATE TABLE agent_entry (
  agent_no bigint PRIMARY KEY,
  id text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  name bytea NOT NULL,
  name_folded bytea NOT NULL,
  create_time_ns bigint NOT NULL,
  update_time_ns bigint NOT NULL,
  last_run_time_ns bigint NOT NULL DEFAULT 0,  -- when the last of its runs to end did; 0 before there is one
  last_stop_reason integer,
  last_run bytea                               -- sendoff.v1.LastRun
) WITH (fillfactor = 70);
CREATE INDEX agent_entry_by_create_time ON agent_entry (tenant, create_time_ns, id);
CREATE INDEX agent_entry_by_update_time ON agent_entry (tenant, update_time_ns, id);
CREATE INDEX agent_entry_by_last_run_time ON agent_entry (tenant, last_run_time_ns, id);
CREATE INDEX agent_entry_by_name ON agent_entry USING hash (name);

CREATE TABLE agent_tag (
  tenant text COLLATE "C" NOT NULL,
  tag bytea NOT NULL,
  owner_no bigint NOT NULL,  -- agent.no
  tag_folded bytea NOT NULL,
  PRIMARY KEY (tenant, tag, owner_no)
);
CREATE INDEX agent_tag_by_owner ON agent_tag (owner_no);

-- Lock, queue head and lease of a conversation in one row.
CREATE TABLE lane (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  tenant text COLLATE "C" NOT NULL,
  agent_no bigint NOT NULL,
  last_seq bigint NOT NULL DEFAULT 0,
  head_seq bigint NOT NULL DEFAULT 1,    -- no run with a smaller seq is open
  open integer NOT NULL DEFAULT 0,       -- how many runs have not ended
  owner bigint,                          -- replica.no of who holds the lease
  ready_at_ns bigint NOT NULL DEFAULT 0,
  priority smallint NOT NULL DEFAULT 3,
  held boolean NOT NULL DEFAULT false,   -- has open runs, no owner, and its head waits for answers
  paused_by text COLLATE "C",            -- run.id of who stopped for what the lane waits for
  last_message_ns bigint,                -- when a message was last written to it; NULL: none was
  last_run_ns bigint                     -- when a run of it last ended; NULL: none has
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX lane_by_agent ON lane (agent_no);
CREATE INDEX lane_ready ON lane (priority, ready_at_ns) WHERE owner IS NULL AND open > 0 AND NOT held;
CREATE INDEX lane_owned ON lane (owner) WHERE owner IS NOT NULL;
CREATE INDEX lane_open ON lane (no) WHERE open > 0;

-- Replicas take numbers for runs in blocks of this, so that not every batch has to ask.
CREATE SEQUENCE run_no INCREMENT BY 64;

CREATE TABLE run (
  no bigint PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  tenant text COLLATE "C" NOT NULL,
  lane_no bigint NOT NULL,
  seq bigint NOT NULL,
  create_time_ns bigint NOT NULL,
  status smallint NOT NULL,
  stop_reason integer,
  background boolean,
  last_sequence bigint NOT NULL,
  cancel_wanted bytea,
  cancel_kind smallint NOT NULL DEFAULT 0,   -- of cancel_wanted: 1 superseded, 2 rollback
  waits boolean NOT NULL DEFAULT false,      -- does not go on while something is pending
  start_before_ns bigint,
  fingerprint bytea NOT NULL,
  body bytea NOT NULL                        -- sendoff.v1.Run
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX run_by_lane ON run (lane_no, seq);
CREATE INDEX run_by_time ON run (tenant, create_time_ns, id);
CREATE INDEX run_to_cancel ON run (lane_no) WHERE cancel_wanted IS NOT NULL AND status <= 2;
CREATE INDEX run_by_start ON run (start_before_ns) WHERE start_before_ns IS NOT NULL AND status = 1;

CREATE TABLE run_key (
  tenant text COLLATE "C" NOT NULL,
  value bytea NOT NULL,
  scope text COLLATE "C" NOT NULL,
  run_no bigint NOT NULL,
  PRIMARY KEY (tenant, value, scope)
);
CREATE INDEX run_key_by_run ON run_key (run_no);

-- What a run brings along. In all three the key is run.no << 20 | place inside the run.

-- Place 0: the request as accepted. From 1: sendoff.v1.RunEvent by sequence. One table because an accept writes one of each.
CREATE TABLE run_log (
  key bigint PRIMARY KEY,
  body bytea NOT NULL
);

-- Place: the low 20 bits of Message.position, whose high bits are the run's seq.
CREATE TABLE message (
  key bigint PRIMARY KEY,
  body bytea NOT NULL       -- sendoff.v1.Message
);

-- Place: Step.index.
CREATE TABLE step (
  key bigint PRIMARY KEY,
  id text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  agent_no bigint NOT NULL,
  start_ns bigint NOT NULL,
  model bytea NOT NULL,                 -- handle
  trace_id bytea NOT NULL,
  feedback smallint NOT NULL DEFAULT 0, -- sendoff.v1.StepFeedback; not in the body, which its run writes
  tags bytea[],                         -- NULL for none
  body bytea NOT NULL                   -- sendoff.v1.Step
);
CREATE INDEX step_by_id ON step (id);
CREATE INDEX step_by_time ON step (tenant, start_ns, key);
CREATE INDEX step_by_agent ON step (agent_no, start_ns, key);

-- The messages of conversations one by one, where `message` has entries: of a message with several entries, which share its id, one
-- row. In it is all that lists are chosen by, so that bodies are read only of what is told.
CREATE TABLE listed (
  key bigint PRIMARY KEY,       -- message.key of its first entry
  id text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  agent_no bigint NOT NULL,
  listed_ns bigint,             -- when it was written, later than all of the tenant before it; NULL: only its run lists it any more
  types bigint NOT NULL,        -- of its entries: 1 << sendoff.v1.MessageType, added up
  last_place bigint NOT NULL,   -- of its last entry; the low 20 bits of message.key
  size bigint NOT NULL          -- bytes of its entries
);
CREATE INDEX listed_by_id ON listed (id);
CREATE INDEX listed_by_tenant ON listed (tenant, listed_ns, types) WHERE listed_ns IS NOT NULL;
CREATE INDEX listed_by_agent ON listed (agent_no, listed_ns, types) WHERE listed_ns IS NOT NULL;

-- The last listed_ns of each tenant. Who numbers messages holds this row until its commit, so that they appear in the order of
-- their numbers.
CREATE TABLE listing (
  tenant text COLLATE "C" PRIMARY KEY,
  last_ns bigint NOT NULL
) WITH (fillfactor = 50);

-- Conversations beside the default one of each agent, which has nothing but its lane.
CREATE TABLE conversation (
  no bigint PRIMARY KEY,    -- lane.no
  id text COLLATE "C" NOT NULL UNIQUE,
  tenant text COLLATE "C" NOT NULL,
  agent_no bigint NOT NULL,
  create_time_ns bigint NOT NULL,
  etag text NOT NULL,
  key_scope text,           -- the idempotency key it was made with
  key_value bytea,
  fingerprint bytea NOT NULL,
  body bytea NOT NULL       -- sendoff.v1.Conversation, without what is told on reading
);
CREATE INDEX conversation_by_time ON conversation (tenant, create_time_ns, id);
CREATE INDEX conversation_by_agent ON conversation (agent_no, create_time_ns, id);
CREATE UNIQUE INDEX conversation_by_key ON conversation (tenant, key_value, key_scope) WHERE key_value IS NOT NULL;

-- The history that a fork begins with: which messages of which runs, in place of a copy of them. They outlive the run, if its
-- conversation is deleted, for as long as a row here names them.
CREATE TABLE inherited (
  lane_no bigint NOT NULL,
  seq bigint NOT NULL,          -- the run's place in its own lane, so that its messages keep their positions
  run_no bigint NOT NULL,
  last_place bigint NOT NULL,   -- of the last message that is part of it; the place is the low 20 bits of message.key
  left_out smallint NOT NULL,
  PRIMARY KEY (lane_no, seq)
);
CREATE INDEX inherited_by_run ON inherited (run_no);

-- Runs whose entries are not shown any more, but for the first places: LeftOut. A table of its own, because it is short.
CREATE TABLE left_out (
  run_no bigint PRIMARY KEY,
  what smallint NOT NULL
);

-- What a conversation waits for from outside. One set a lane: the newest that one of its runs stopped for, kept when it is settled.
CREATE TABLE action_set (
  lane_no bigint PRIMARY KEY,
  run_no bigint NOT NULL,          -- the run that stopped
  answered_by text COLLATE "C" NOT NULL,   -- run.id of the newest that was accepted to continue, or that settled it; empty for none
  continuations integer NOT NULL,  -- how many were accepted
  settled boolean NOT NULL
);

-- The actions of these sets. Key: lane.no << 20 | place in the set.
CREATE TABLE action (
  key bigint PRIMARY KEY,
  tenant text COLLATE "C" NOT NULL,
  kind smallint NOT NULL,
  expire_ns bigint NOT NULL,
  settled boolean NOT NULL,
  body bytea NOT NULL              -- sendoff.v1.PendingAction
);
CREATE INDEX action_by_expiry ON action (expire_ns) WHERE NOT settled;
CREATE INDEX action_by_tenant ON action (tenant, expire_ns, key) WHERE NOT settled;

-- What callers keep for their agents. Rows belong to a tenant, not to an agent.

CREATE TABLE tool (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL,    -- of a tool that the server makes: in as many rows as tenants have set something of it
  tenant text COLLATE "C" NOT NULL, -- empty: the server's own
  name bytea NOT NULL,
  etag text NOT NULL,
  create_time_ns bigint NOT NULL,
  body bytea NOT NULL              -- sendoff.v1.Tool
);
CREATE UNIQUE INDEX tool_by_id ON tool (tenant, id);
CREATE UNIQUE INDEX tool_by_name ON tool (tenant, name);
CREATE INDEX tool_by_create_time ON tool (tenant, create_time_ns, id);

CREATE TABLE block (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  tenant text COLLATE "C" NOT NULL,
  label bytea NOT NULL,
  create_time_ns bigint NOT NULL,
  etag text NOT NULL,
  key_scope text,                  -- the idempotency key it was made with
  key_value bytea,
  fingerprint bytea NOT NULL,
  changes bytea[] NOT NULL DEFAULT '{}',  -- names of the newest changes, oldest first
  body bytea NOT NULL,             -- sendoff.v1.Block
  label_folded bytea NOT NULL,
  description_folded bytea NOT NULL,
  value_folded bytea NOT NULL
);
CREATE INDEX block_by_time ON block (tenant, create_time_ns, id);
CREATE INDEX block_by_label ON block (tenant, label, create_time_ns);
CREATE UNIQUE INDEX block_by_key ON block (tenant, key_value, key_scope) WHERE key_value IS NOT NULL;

CREATE TABLE block_tag (
  tenant text COLLATE "C" NOT NULL,
  tag bytea NOT NULL,
  owner_no bigint NOT NULL,  -- block.no
  tag_folded bytea NOT NULL,
  PRIMARY KEY (tenant, tag, owner_no)
);
CREATE INDEX block_tag_by_owner ON block_tag (owner_no);

CREATE TABLE file (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  tenant text COLLATE "C" NOT NULL,
  create_time_ns bigint NOT NULL,
  key_scope text,                  -- the idempotency key it was made with
  key_value bytea,
  fingerprint bytea NOT NULL,
  body bytea NOT NULL,             -- sendoff.v1.File
  data bytea NOT NULL
);
CREATE INDEX file_by_time ON file (tenant, create_time_ns, id);
CREATE UNIQUE INDEX file_by_key ON file (tenant, key_value, key_scope) WHERE key_value IS NOT NULL;

-- Registered receivers of callbacks. Locked by who writes deliveries to them (FOR KEY SHARE), so that none comes after they are gone.
CREATE TABLE endpoint (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  tenant text COLLATE "C" NOT NULL,
  agent_id text COLLATE "C",       -- it gets runs of this agent only; NULL: all of the tenant
  events smallint NOT NULL,        -- which it gets: 1 run.started, 2 run.action_required, 4 run.finished, added up
  disabled boolean NOT NULL,
  url bytea,                       -- NULL: what waits for it is pulled
  receiver bytea,                  -- host:port of the url
  create_time_ns bigint NOT NULL,
  etag text NOT NULL,
  key_scope text,                  -- the idempotency key it was made with
  key_value bytea,
  fingerprint bytea NOT NULL,
  body bytea NOT NULL,             -- sendoff.v1.CallbackEndpoint
  secrets text NOT NULL            -- JSON: [text, until when it signs in ns or null], newest first
);
CREATE INDEX endpoint_by_time ON endpoint (tenant, create_time_ns, id);
CREATE UNIQUE INDEX endpoint_by_key ON endpoint (tenant, key_value, key_scope) WHERE key_value IS NOT NULL;

-- The outbox: callbacks on their way. A row is written in the transaction that starts or ends its run, and stays as long as the run
-- and the endpoint do. All that changes which of a run's deliveries waits for which holds the run's lane.
CREATE TABLE delivery (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  tenant text COLLATE "C" NOT NULL,
  run_no bigint NOT NULL,
  endpoint_no bigint,              -- NULL: it is the run's own callback
  kind smallint NOT NULL,          -- of endpoint.events
  sequence bigint NOT NULL,        -- of the event in the run's log
  url bytea,                       -- of the run's own callback; an endpoint's is where it is now
  queue bytea,                     -- what shares a limit: the endpoint's id, or host:port of the url; NULL: it is pulled
  status smallint NOT NULL,        -- sendoff.v1.DeliveryStatus
  create_ns bigint NOT NULL,
  window_ns bigint NOT NULL,       -- from when on the time counts after which it is given up
  next_attempt_ns bigint,          -- NULL: it is delivered, or given up
  attempts integer NOT NULL DEFAULT 0,
  owner bigint,                    -- replica.no of who is trying it
  behind bigint,                   -- delivery.no of the one to the same receiver that comes first, until that is done
  given_up_ns bigint,              -- when it was given up without an attempt
  error bytea                      -- why
) WITH (fillfactor = 80);
CREATE INDEX delivery_by_run ON delivery (run_no, endpoint_no);
CREATE INDEX delivery_by_status ON delivery (tenant, status, no);
CREATE INDEX delivery_by_endpoint ON delivery (endpoint_no, status, no);
CREATE INDEX delivery_own ON delivery (no) WHERE endpoint_no IS NULL AND status = 1;
CREATE INDEX delivery_due ON delivery (queue, next_attempt_ns)
  WHERE next_attempt_ns IS NOT NULL AND owner IS NULL AND behind IS NULL AND queue IS NOT NULL;
CREATE INDEX delivery_pulled ON delivery (endpoint_no, next_attempt_ns)
  WHERE next_attempt_ns IS NOT NULL AND owner IS NULL AND behind IS NULL AND queue IS NULL;
CREATE INDEX delivery_held ON delivery (owner) WHERE owner IS NOT NULL;
CREATE INDEX delivery_behind ON delivery (behind) WHERE behind IS NOT NULL;

-- The last attempts at each delivery. Key: delivery.no << 28 | 1, 2, 3.
CREATE TABLE delivery_attempt (
  key bigint PRIMARY KEY,
  body bytea NOT NULL              -- sendoff.v1.DeliveryAttempt
);
