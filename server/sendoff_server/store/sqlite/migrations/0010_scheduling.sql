-- When a run may start, and before which others. A lane has the priority and the share of its head.
ALTER TABLE run ADD COLUMN start_ns INTEGER;                       -- not before this; NULL: at once
ALTER TABLE run ADD COLUMN priority INTEGER NOT NULL DEFAULT 3;
ALTER TABLE run ADD COLUMN share INTEGER NOT NULL DEFAULT 0;       -- digest of whom it shares slots as

ALTER TABLE lane ADD COLUMN share INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lane ADD COLUMN scheduled INTEGER NOT NULL DEFAULT 0;  -- has no owner, and its head may not start before ready_at_ns

-- Only lanes with something to do. Finds those of a replica, and all active ones.
DROP INDEX lane_active;
CREATE INDEX lane_active ON lane (held, owner) WHERE open > 0 OR owner IS NOT NULL;
-- Those that wait for an owner, by share, and in each in the order in which they are taken: a minute of waiting for a priority.
CREATE INDEX lane_waiting ON lane (share, ready_at_ns + priority * 60000000000)
  WHERE held = 0 AND scheduled = 0 AND owner IS NULL AND open > 0;
CREATE INDEX lane_scheduled ON lane (ready_at_ns) WHERE scheduled = 1;
