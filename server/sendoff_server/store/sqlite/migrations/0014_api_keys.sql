-- oldest program: 13
-- What lets callers in. Whoever adds the first makes this migration's number the oldest program's, see `schema_version`.
CREATE TABLE api_key (
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  role TEXT NOT NULL,
  name TEXT NOT NULL,
  secret_hash BLOB,               -- SHA-256 of the whole key; NULL: it stands for a certificate
  certificate TEXT,
  created_ns INTEGER NOT NULL,
  expires_ns INTEGER,
  revoked_ns INTEGER,
  used_ns INTEGER,
  change INTEGER NOT NULL UNIQUE  -- grows with every key that is made or revoked
);
CREATE UNIQUE INDEX api_key_by_certificate ON api_key (certificate) WHERE certificate IS NOT NULL AND revoked_ns IS NULL;
