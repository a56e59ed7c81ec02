-- What is not to be begun, though there are slots. Few rows; agent_no 0: not for one agent; share -1: not for one share.
CREATE TABLE dispatch_pause (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text COLLATE "C" NOT NULL,
  agent_no bigint NOT NULL,
  share bigint NOT NULL,
  lifted boolean NOT NULL DEFAULT false,  -- counts no more; goes once no lane is barred by it
  body bytea NOT NULL                     -- sendoff.v1.DispatchPause
);
CREATE UNIQUE INDEX dispatch_pause_by_scope ON dispatch_pause (tenant, agent_no, share);

-- Every transaction that takes leases reads its replica's row and locks it, so whoever changes pauses locks all of these.
ALTER TABLE replica ADD COLUMN pauses bigint NOT NULL DEFAULT 0;  -- 0: there are none; else another number after every change of them
CREATE SEQUENCE pauses_change;

ALTER TABLE lane ADD COLUMN barred smallint NOT NULL DEFAULT 0;   -- it was seen that it may not be taken: 1 it is paused, 2 its agent is at its cap

-- By tenant in front, so that all of one can be passed over.
DROP INDEX lane_waiting;
CREATE INDEX lane_waiting ON lane (tenant, share, (ready_at_ns + priority * 60000000000))
  WHERE owner IS NULL AND open > 0 AND NOT held AND NOT scheduled AND barred = 0;
CREATE INDEX lane_barred ON lane (barred, agent_no, (ready_at_ns + priority * 60000000000)) WHERE barred > 0;
