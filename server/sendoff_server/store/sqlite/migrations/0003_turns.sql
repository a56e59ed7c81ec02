-- What a conversation waits for from outside. One set a lane: the newest that one of its runs stopped for, kept when it is settled.
CREATE TABLE action_set (
  lane_no INTEGER PRIMARY KEY,
  run_no INTEGER NOT NULL,          -- the run that stopped
  answered_by TEXT NOT NULL,        -- run.id of the newest that was accepted to continue, or that settled it; empty for none
  continuations INTEGER NOT NULL,   -- how many were accepted
  settled INTEGER NOT NULL
);

-- The actions of these sets. Key: lane.no << 20 | place in the set.
CREATE TABLE action (
  key INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  kind INTEGER NOT NULL,
  expire_ns INTEGER NOT NULL,
  settled INTEGER NOT NULL,
  body BLOB NOT NULL                -- sendoff.v1.PendingAction
);
CREATE INDEX action_by_expiry ON action (expire_ns) WHERE settled = 0;
CREATE INDEX action_by_tenant ON action (tenant, expire_ns) WHERE settled = 0;

ALTER TABLE lane ADD COLUMN paused_by TEXT;                    -- run.id of who stopped for what the lane waits for
ALTER TABLE lane ADD COLUMN held INTEGER NOT NULL DEFAULT 0;   -- has open runs, no owner, and its head waits for that too
DROP INDEX lane_active;
-- Only lanes with something to do. Finds those that wait for an owner, those of a replica, and all active ones.
CREATE INDEX lane_active ON lane (held, owner, priority, ready_at_ns) WHERE open > 0 OR owner IS NOT NULL;

ALTER TABLE run ADD COLUMN cancel_kind INTEGER NOT NULL DEFAULT 0;   -- of cancel_wanted: 1 superseded, 2 rollback
ALTER TABLE run ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;         -- does not go on while something is pending
ALTER TABLE run ADD COLUMN start_before_ns INTEGER;
CREATE INDEX run_by_start ON run (start_before_ns) WHERE start_before_ns IS NOT NULL AND status = 1;

-- Runs whose entries are not shown any more, but for the first places: LeftOut. A table of its own, because it is short.
CREATE TABLE left_out (
  run_no INTEGER PRIMARY KEY,
  what INTEGER NOT NULL
);
ALTER TABLE inherited ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0;

-- Steps are found by their ids.
ALTER TABLE step ADD COLUMN id TEXT;
UPDATE step SET id = CAST(substr(body, 3, 41) AS TEXT) WHERE substr(body, 1, 2) = x'0A29';
CREATE INDEX step_by_id ON step (id);

-- seq was 1, 2, 3; from now on it has room behind each run for those that continue it. Runs behind the head of their lane have
-- written nothing yet, so they can move; the next one comes behind a whole turn of free places.
UPDATE run SET seq = moved.seq FROM (
  SELECT r.no, ((l.last_seq >> 10) + 1 + row_number() OVER (PARTITION BY r.lane_no ORDER BY r.seq)) << 10 AS seq
  FROM lane l CROSS JOIN run r ON r.lane_no = l.no AND r.seq > l.head_seq
  WHERE l.open > 0
) moved WHERE run.no = moved.no;
UPDATE lane SET last_seq = max(
  ((last_seq >> 10) + 1) << 10,
  coalesce((SELECT r.seq FROM run r WHERE r.lane_no = lane.no ORDER BY r.seq DESC LIMIT 1), 0)
) WHERE last_seq > 0;
UPDATE lane SET head_seq = last_seq + 1 WHERE open = 0;
