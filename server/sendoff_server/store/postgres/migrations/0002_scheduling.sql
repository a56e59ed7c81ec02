-- When a run may start, and before which others. A lane has the priority and the share of its head.
ALTER TABLE run
  ADD COLUMN start_ns bigint,                       -- not before this; NULL: at once
  ADD COLUMN priority smallint NOT NULL DEFAULT 3,
  ADD COLUMN share bigint NOT NULL DEFAULT 0;       -- digest of whom it shares slots as

ALTER TABLE lane
  ADD COLUMN share bigint NOT NULL DEFAULT 0,
  ADD COLUMN scheduled boolean NOT NULL DEFAULT false;  -- has no owner, and its head may not start before ready_at_ns

DROP INDEX lane_ready;
-- Those that wait for an owner, by share, and in each in the order in which they are taken: a minute of waiting for a priority.
CREATE INDEX lane_waiting ON lane (share, (ready_at_ns + priority * 60000000000))
  WHERE owner IS NULL AND open > 0 AND NOT held AND NOT scheduled;
CREATE INDEX lane_scheduled ON lane (ready_at_ns) WHERE scheduled;
