-- The messages of conversations one by one, where `message` has entries: of a message with several entries, which share its id, one
-- row. In it is all that lists are chosen by, so that bodies are read only of what is told.
CREATE TABLE listed (
  key INTEGER PRIMARY KEY,      -- message.key of its first entry
  id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  agent_no INTEGER NOT NULL,
  listed_ns INTEGER,            -- when it was written, later than all of the tenant before it; NULL: only its run lists it any more
  types INTEGER NOT NULL,       -- of its entries: 1 << sendoff.v1.MessageType, added up
  last_place INTEGER NOT NULL,  -- of its last entry; the low 20 bits of message.key
  size INTEGER NOT NULL         -- bytes of its entries
);
CREATE INDEX listed_by_id ON listed (id);
CREATE INDEX listed_by_tenant ON listed (tenant, listed_ns, types) WHERE listed_ns IS NOT NULL;
CREATE INDEX listed_by_agent ON listed (agent_no, listed_ns, types) WHERE listed_ns IS NOT NULL;

-- Messages of before come in the order of their times, but for those that waited for others of their conversation.
INSERT INTO listed (key, id, tenant, agent_no, listed_ns, types, last_place, size)
SELECT key, id, tenant, agent_no, CASE WHEN is_part THEN row_number() OVER (ORDER BY at_ns, lane_no, seq, key) END, types, last_place, size
FROM (
  SELECT *, max(time_ns) OVER (PARTITION BY lane_no ORDER BY seq, key ROWS UNBOUNDED PRECEDING) AS at_ns
  FROM (
    SELECT
      min(m.key) AS key, message_id(m.body) AS id, o.tenant, l.agent_no, o.lane_no, o.seq,
      max(message_time_ns(m.body)) AS time_ns,
      sum(DISTINCT 1 << message_type(m.body)) AS types,
      max(m.key & 1048575) AS last_place,
      sum(length(m.body)) AS size,
      min(o.what < 2 OR m.key & 1048575 < 8) AS is_part
    FROM (
      SELECT r.no, r.tenant, r.lane_no, r.seq, coalesce(lo.what, 0) AS what FROM run r LEFT JOIN left_out lo ON lo.run_no = r.no
      UNION ALL
      -- Runs that are gone with their conversation; what forks have inherited of them is still there.
      SELECT i.run_no, l.tenant, min(i.lane_no), i.seq, 0
      FROM inherited i JOIN lane l ON l.no = i.lane_no
      WHERE NOT EXISTS (SELECT 1 FROM run WHERE no = i.run_no)
      GROUP BY i.run_no
    ) o
    JOIN lane l ON l.no = o.lane_no
    JOIN message m ON m.key >= o.no << 20 AND m.key < o.no + 1 << 20
    GROUP BY o.no, message_id(m.body)
  )
);

CREATE TRIGGER message_gone AFTER DELETE ON message BEGIN
  DELETE FROM listed WHERE key = old.key;
END;

-- Steps are listed over all runs, by what they were and by what people think of them.
ALTER TABLE step ADD COLUMN tenant TEXT;
ALTER TABLE step ADD COLUMN agent_no INTEGER;
ALTER TABLE step ADD COLUMN start_ns INTEGER;
ALTER TABLE step ADD COLUMN model TEXT;         -- handle
ALTER TABLE step ADD COLUMN trace_id TEXT;
ALTER TABLE step ADD COLUMN feedback INTEGER NOT NULL DEFAULT 0;  -- sendoff.v1.StepFeedback; not in the body, which its run writes
ALTER TABLE step ADD COLUMN tags TEXT;                            -- JSON; NULL for none
UPDATE step SET
  (tenant, agent_no) = (SELECT r.tenant, l.agent_no FROM run r JOIN lane l ON l.no = r.lane_no WHERE r.no = step.key >> 20),
  start_ns = step_start_ns(body), model = step_model(body), trace_id = step_trace_id(body);
CREATE INDEX step_by_time ON step (tenant, start_ns);
CREATE INDEX step_by_agent ON step (agent_no, start_ns);
