-- What is still to be done about runs that are kept for a time only. A table of its own, because most runs may be kept for ever.
CREATE TABLE purge (
  run_no INTEGER PRIMARY KEY,
  due_ns INTEGER NOT NULL   -- when the run is to be deleted; of one that is deleted, whose log is not yet, the same; else when to look again
);
CREATE INDEX purge_due ON purge (due_ns);
