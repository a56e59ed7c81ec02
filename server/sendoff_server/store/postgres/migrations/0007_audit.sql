-- oldest program: 5
-- Who did what. The id has the time in front, so that a tenant's entries lie in the order in which they came.
CREATE TABLE audit (
  tenant text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  time_ns bigint NOT NULL,
  body bytea NOT NULL,      -- sendoff.v1.AuditEntry, without create_time
  PRIMARY KEY (tenant, id)
);
