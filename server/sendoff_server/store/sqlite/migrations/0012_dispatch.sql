-- What is not to be begun, though there are slots. Few rows; agent_no 0: not for one agent; share -1: not for one share.
CREATE TABLE dispatch_pause (
  no INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  agent_no INTEGER NOT NULL,
  share INTEGER NOT NULL,
  lifted INTEGER NOT NULL DEFAULT 0,  -- counts no more; goes once no lane is barred by it
  body BLOB NOT NULL                  -- sendoff.v1.DispatchPause
);
CREATE UNIQUE INDEX dispatch_pause_by_scope ON dispatch_pause (tenant, agent_no, share);

ALTER TABLE lane ADD COLUMN barred INTEGER NOT NULL DEFAULT 0;  -- it was seen that it may not be taken: 1 it is paused, 2 its agent is at its cap

-- By tenant in front, so that all of one can be passed over.
DROP INDEX lane_waiting;
CREATE INDEX lane_waiting ON lane (tenant, share, ready_at_ns + priority * 60000000000)
  WHERE held = 0 AND scheduled = 0 AND barred = 0 AND owner IS NULL AND open > 0;
CREATE INDEX lane_barred ON lane (barred, agent_no, ready_at_ns + priority * 60000000000) WHERE barred > 0;
