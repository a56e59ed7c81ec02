-- oldest program: 13
-- Who did what. The id has the time in front, so that a tenant's entries lie in the order in which they came.
CREATE TABLE audit (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  time_ns INTEGER NOT NULL,
  body BLOB NOT NULL,       -- sendoff.v1.AuditEntry, without create_time
  PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
