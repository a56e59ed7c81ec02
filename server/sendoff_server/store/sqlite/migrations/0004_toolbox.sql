-- What callers keep for their agents. Rows belong to a tenant, not to an agent.

CREATE TABLE tool (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL,         -- of a tool that the server makes: in as many rows as tenants have set something of it
  tenant TEXT NOT NULL,     -- empty: the server's own
  name TEXT NOT NULL,
  etag TEXT NOT NULL,
  body BLOB NOT NULL        -- sendoff.v1.Tool
);
CREATE UNIQUE INDEX tool_by_id ON tool (tenant, id);
CREATE UNIQUE INDEX tool_by_name ON tool (tenant, name);

CREATE TABLE block (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  label TEXT NOT NULL,
  create_time_ns INTEGER NOT NULL,
  etag TEXT NOT NULL,
  key_scope TEXT,           -- the idempotency key it was made with
  key_value TEXT,
  fingerprint BLOB NOT NULL,
  changes TEXT NOT NULL,    -- JSON: names of the newest changes, oldest first
  body BLOB NOT NULL        -- sendoff.v1.Block
);
CREATE INDEX block_by_time ON block (tenant, create_time_ns);
CREATE INDEX block_by_label ON block (tenant, label, create_time_ns);
CREATE UNIQUE INDEX block_by_key ON block (tenant, key_value, key_scope) WHERE key_value IS NOT NULL;

CREATE TABLE file (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  create_time_ns INTEGER NOT NULL,
  key_scope TEXT,           -- the idempotency key it was made with
  key_value TEXT,
  fingerprint BLOB NOT NULL,
  body BLOB NOT NULL,       -- sendoff.v1.File
  data BLOB NOT NULL        -- last, so that nothing else is read past it
);
CREATE INDEX file_by_time ON file (tenant, create_time_ns);
CREATE UNIQUE INDEX file_by_key ON file (tenant, key_value, key_scope) WHERE key_value IS NOT NULL;
