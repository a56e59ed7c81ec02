-- What lists of agents, blocks and tools go by and look for. Beside the tables of bodies, whose rows can be large.
-- `field` and `last_run` are functions of this program (functions.py).

CREATE TABLE agent_entry (
  agent_no INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  create_time_ns INTEGER NOT NULL,
  update_time_ns INTEGER NOT NULL,
  last_run_time_ns INTEGER NOT NULL DEFAULT 0,  -- when the last of its runs to end did; 0 before there is one
  last_stop_reason INTEGER,
  last_run BLOB                                 -- sendoff.v1.LastRun
);
CREATE INDEX agent_entry_by_create_time ON agent_entry (tenant, create_time_ns, id);
CREATE INDEX agent_entry_by_update_time ON agent_entry (tenant, update_time_ns, id);
CREATE INDEX agent_entry_by_last_run_time ON agent_entry (tenant, last_run_time_ns, id);
CREATE INDEX agent_entry_by_name ON agent_entry (tenant, name);
DROP INDEX agent_by_time;

INSERT INTO agent_entry (agent_no, id, tenant, name, create_time_ns, update_time_ns)
SELECT no, id, tenant, field('Agent', body, 'name'), create_time_ns, field('Agent', body, 'update_time') FROM agent;

-- Of each conversation the last run that was accepted and has ended; of these the last to end.
UPDATE agent_entry SET
  last_run_time_ns = newest.time_ns, last_stop_reason = newest.stop_reason, last_run = last_run(newest.agent_id, newest.body)
FROM (
  SELECT a.no, a.id AS agent_id, r.stop_reason, r.body, max(field('Run', r.body, 'complete_time')) AS time_ns
  FROM agent a CROSS JOIN lane l ON l.agent_no = a.no CROSS JOIN run r ON r.lane_no = l.no AND r.seq = (
    SELECT e.seq FROM run e WHERE e.lane_no = l.no AND e.status > 2 ORDER BY e.seq DESC LIMIT 1
  )
  GROUP BY a.no
) newest WHERE newest.no = agent_entry.agent_no;

CREATE TABLE agent_tag (
  tenant TEXT NOT NULL,
  tag TEXT NOT NULL,
  owner_no INTEGER NOT NULL,  -- agent.no
  PRIMARY KEY (tenant, tag, owner_no)
) WITHOUT ROWID;
CREATE INDEX agent_tag_by_owner ON agent_tag (owner_no);
INSERT OR IGNORE INTO agent_tag (tenant, tag, owner_no)
SELECT a.tenant, t.value, a.no FROM agent a CROSS JOIN json_each(field('Agent', a.body, 'tags')) t;

CREATE TABLE block_tag (
  tenant TEXT NOT NULL,
  tag TEXT NOT NULL,
  owner_no INTEGER NOT NULL,  -- block.no
  PRIMARY KEY (tenant, tag, owner_no)
) WITHOUT ROWID;
CREATE INDEX block_tag_by_owner ON block_tag (owner_no);
INSERT OR IGNORE INTO block_tag (tenant, tag, owner_no)
SELECT b.tenant, t.value, b.no FROM block b CROSS JOIN json_each(field('Block', b.body, 'tags')) t;

ALTER TABLE tool ADD COLUMN create_time_ns INTEGER NOT NULL DEFAULT 0;
UPDATE tool SET create_time_ns = field('Tool', body, 'create_time');
CREATE INDEX tool_by_create_time ON tool (tenant, create_time_ns, id);
