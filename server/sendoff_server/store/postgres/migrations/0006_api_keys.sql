-- oldest program: 5
-- What lets callers in. Whoever adds the first makes this migration's number the oldest program's, see `schema_version`.
CREATE TABLE api_key (
  id text COLLATE "C" PRIMARY KEY,
  tenant text COLLATE "C" NOT NULL,
  role text NOT NULL,
  name text NOT NULL,
  secret_hash bytea,             -- SHA-256 of the whole key; NULL: it stands for a certificate
  certificate text COLLATE "C",
  created_ns bigint NOT NULL,
  expires_ns bigint,
  revoked_ns bigint,
  used_ns bigint,
  change bigint NOT NULL UNIQUE  -- grows with every key that is made or revoked
);
CREATE UNIQUE INDEX api_key_by_certificate ON api_key (certificate) WHERE certificate IS NOT NULL AND revoked_ns IS NULL;
