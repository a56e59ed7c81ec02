-- Parameters named ?1, ?2 are single values; a list comes as one JSON text. `:rows` stands for many rows (`execute_rows`), other
-- names with a colon for one of a few texts (`named`): `:lanes` for a statement of theirs about ?1, `:runs` for the runs whose
-- messages are history, each with (lane_no, seq, no, last_place, and left_out where it is to be inherited), `:order` and `:behind` for a direction,
-- `:key` for the time that conversations go by, `:owner` for whose they are.
-- `:list` for the rows of a list of messages.
-- What goes into a batch comes back as one JSON text, bodies in hex: a row each would cost a hand-over of the interpreter lock each.

-- name: snapshot
-- What a batch refers to: is replica ?1 alive, the last run number in use, lanes ?2 with their first ?3 open runs, runs ?4; and
-- whether anybody has an endpoint.
SELECT
  (SELECT count(*) FROM replica WHERE no = ?1),
  max((SELECT coalesce(max(no), 0) FROM run), (SELECT coalesce(max(run_no), 0) FROM inherited)),
  (
    SELECT json_group_array(json_array(l.no, l.id, l.tenant, l.last_seq, l.head_seq, l.open, l.owner, l.ready_at_ns, l.paused_by, l.held,
      l.priority, l.share, l.scheduled, l.barred, l.agent_no,
      CASE WHEN ?3 > 0 THEN json((
        SELECT json_group_array(json_array(
          o.no, o.id, o.tenant, o.seq, o.status, o.last_sequence, o.waits, o.start_ns, o.priority, o.share, o.cancel_wanted, o.cancel_kind
        ))
        FROM (
          SELECT no, id, tenant, seq, status, last_sequence, waits, start_ns, priority, share, cancel_wanted, cancel_kind
          FROM run r WHERE r.lane_no = l.no AND r.seq >= l.head_seq AND r.status <= 2 ORDER BY r.seq LIMIT ?3
        ) o
      )) END
    ))
    FROM json_each(?2) wanted CROSS JOIN lane l ON l.id = wanted.value
  ),
  (
    SELECT json_group_array(json_array(
      r.lane_no, r.no, r.id, r.tenant, r.seq, r.status, r.last_sequence, r.waits, r.start_ns, r.priority, r.share, r.cancel_wanted,
      r.cancel_kind
    ))
    FROM json_each(?4) wanted CROSS JOIN run r ON r.id = wanted.value
  ),
  EXISTS (SELECT 1 FROM endpoint WHERE no > 0),
  EXISTS (SELECT 1 FROM dispatch_pause);

-- name: lane_of_run
SELECT l.id FROM run r CROSS JOIN lane l ON l.no = r.lane_no WHERE r.no = ?1;

-- name: open_runs_of_lane
-- All of lane ?1, in order.
SELECT json_group_array(json_array(
  no, id, tenant, seq, status, last_sequence, waits, start_ns, priority, share, cancel_wanted, cancel_kind
)) FROM (
  SELECT r.* FROM lane l CROSS JOIN run r ON r.lane_no = l.no AND r.seq >= l.head_seq AND r.status <= 2
  WHERE l.no = ?1 ORDER BY r.seq
);

-- name: actions_of_lane
-- The newest ones of lane ?1, and the run that stopped for them.
SELECT
  json_array(
    r.no, r.id, r.tenant, r.seq, r.status, r.last_sequence, r.waits, r.start_ns, r.priority, r.share, r.cancel_wanted, r.cancel_kind
  ),
  r.body, s.answered_by, s.continuations, s.settled,
  (SELECT json_group_array(hex(body)) FROM (
    SELECT body FROM action WHERE key >= ?1 << 20 AND key < ?1 + 1 << 20 ORDER BY key
  ))
FROM action_set s CROSS JOIN run r ON r.no = s.run_no
WHERE s.lane_no = ?1;

-- name: known_keys
-- Which of these (tenant, value, scope) belong to which run.
SELECT json_group_array(json_array(k.tenant, k.value, k.scope, r.no, r.id, hex(r.fingerprint)))
FROM (VALUES :rows) wanted
CROSS JOIN run_key k ON k.tenant = wanted.column1 AND k.value = wanted.column2 AND k.scope = wanted.column3
CROSS JOIN run r ON r.no = k.run_no;

-- name: repeated_run
-- The newest run of lane ?1 of tenant ?2 with fingerprint ?3 that was accepted at ?4 or later. Looks at the newest ?5 of the lane.
SELECT newest.no, newest.id FROM (
  SELECT r.no, r.id, r.tenant, r.seq, r.create_time_ns, r.fingerprint
  FROM lane l CROSS JOIN run r ON r.lane_no = l.no WHERE l.id = ?1 ORDER BY r.seq DESC LIMIT ?5
) newest
WHERE newest.tenant = ?2 AND newest.fingerprint = ?3 AND newest.create_time_ns >= ?4
ORDER BY newest.seq DESC LIMIT 1;

-- name: stored_runs
-- Bodies and requests of the runs with these numbers.
SELECT json_group_array(json_array(
  r.no, hex(r.body), CASE WHEN length(request.body) <= 16384 THEN hex(request.body) END
))
FROM json_each(?1) wanted
CROSS JOIN run r ON r.no = wanted.value
CROSS JOIN run_log request ON request.key = r.no << 20;

-- name: write_runs
INSERT INTO run (
  no, id, tenant, lane_no, seq, create_time_ns, status, stop_reason, background, last_sequence, cancel_wanted, cancel_kind, waits,
  start_ns, priority, share, start_before_ns, fingerprint, body
)
SELECT * FROM (VALUES :rows) WHERE column1 IS NOT NULL
ON CONFLICT (no) DO UPDATE SET
  status = excluded.status, stop_reason = excluded.stop_reason, last_sequence = excluded.last_sequence,
  cancel_wanted = excluded.cancel_wanted, cancel_kind = excluded.cancel_kind, body = excluded.body;

-- name: write_lanes
-- Lanes are made with their agent; this only changes them.
INSERT INTO lane (
  no, last_seq, head_seq, open, owner, ready_at_ns, paused_by, held, priority, share, scheduled, barred, last_message_ns,
  last_run_ns, id, tenant, agent_no
)
SELECT *, '', '', 0 FROM (VALUES :rows) WHERE column1 IS NOT NULL
ON CONFLICT (no) DO UPDATE SET
  last_seq = excluded.last_seq, head_seq = excluded.head_seq, open = excluded.open, owner = excluded.owner,
  ready_at_ns = excluded.ready_at_ns, paused_by = excluded.paused_by, held = excluded.held,
  priority = excluded.priority, share = excluded.share, scheduled = excluded.scheduled, barred = excluded.barred,
  last_message_ns = coalesce(excluded.last_message_ns, last_message_ns),
  last_run_ns = coalesce(excluded.last_run_ns, last_run_ns);

-- name: write_keys
INSERT INTO run_key (tenant, value, scope, run_no) SELECT * FROM (VALUES :rows) WHERE column1 IS NOT NULL;

-- name: write_log
INSERT INTO run_log (key, body) SELECT * FROM (VALUES :rows) WHERE column1 IS NOT NULL;

-- name: write_messages
INSERT INTO message (key, body) SELECT * FROM (VALUES :rows) WHERE column1 IS NOT NULL;

-- name: write_listed
INSERT INTO listed (key, id, tenant, agent_no, listed_ns, types, last_place, size)
SELECT column1, column2, r.tenant, l.agent_no, column3, column4, column5, column6
FROM (VALUES :rows) CROSS JOIN run r ON r.no = column1 >> 20 CROSS JOIN lane l ON l.no = r.lane_no
WHERE column1 IS NOT NULL;

-- name: last_listed
SELECT coalesce(max(listed_ns), 0) FROM listed WHERE tenant = ?1 AND listed_ns IS NOT NULL;

-- name: leave_out_of_lists
-- What run ?1 has written from place ?2 on is listed by nobody but itself.
UPDATE listed SET listed_ns = NULL WHERE key >= (?1 << 20) + ?2 AND key < ?1 + 1 << 20;

-- name: write_steps
-- What people think of a step is not its run's to write.
INSERT INTO step (key, id, start_ns, model, trace_id, body, tenant, agent_no)
SELECT column1, column2, column3, column4, column5, column6, r.tenant, l.agent_no
FROM (VALUES :rows) CROSS JOIN run r ON r.no = column1 >> 20 CROSS JOIN lane l ON l.no = r.lane_no
WHERE column1 IS NOT NULL
ON CONFLICT (key) DO UPDATE SET
  start_ns = excluded.start_ns, model = excluded.model, trace_id = excluded.trace_id, body = excluded.body;

-- name: mark_cancels
-- Only the note: the body of a run does not know of it.
UPDATE run SET cancel_wanted = wanted.column2, cancel_kind = wanted.column3
FROM (VALUES :rows) wanted WHERE run.no = wanted.column1;

-- name: write_left_out
INSERT INTO left_out (run_no, what) SELECT * FROM (VALUES :rows) WHERE column1 IS NOT NULL;

-- name: write_purges
INSERT INTO purge (run_no, due_ns) SELECT * FROM (VALUES :rows) WHERE column1 IS NOT NULL;

-- name: write_action_set
INSERT INTO action_set (lane_no, run_no, answered_by, continuations, settled) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (lane_no) DO UPDATE SET
  run_no = excluded.run_no, answered_by = excluded.answered_by, continuations = excluded.continuations,
  settled = excluded.settled;

-- name: clear_actions
DELETE FROM action WHERE key >= ?1 << 20 AND key < ?1 + 1 << 20;

-- name: write_actions
INSERT INTO action (key, tenant, kind, expire_ns, settled, body) SELECT * FROM (VALUES :rows) WHERE column1 IS NOT NULL;

-- name: endpoints_to_tell
-- Of tenants ?1.
SELECT json_group_array(json_array(e.tenant, e.no, e.id, e.agent_id, e.events, e.disabled, e.url))
FROM json_each(?1) wanted CROSS JOIN endpoint e ON e.tenant = wanted.value;

-- name: add_deliveries
-- One that comes behind another of its run to the same receiver, which is not done, waits for that. The plus keeps SQLite from
-- walking all that waits for the receiver.
INSERT INTO delivery (
  id, tenant, run_no, endpoint_no, kind, sequence, url, queue, status, create_ns, window_ns, next_attempt_ns, given_up_ns, error,
  behind
)
SELECT *, CASE WHEN column12 IS NOT NULL THEN (
  SELECT d.no FROM delivery d WHERE d.run_no = column3 AND d.endpoint_no IS column4 AND +d.status = 1
) END
FROM (VALUES :rows) WHERE column1 IS NOT NULL;

-- name: held_deliveries
-- Those of ?2 that replica ?1 holds, each with its run; with the run's body if that shows the attempt.
SELECT d.id, d.no, d.attempts, d.kind, d.endpoint_no, r.lane_no,
  json_array(r.no, r.id, r.tenant, r.seq, r.status, r.last_sequence, r.waits, r.start_ns, r.priority, r.share,
    r.cancel_wanted, r.cancel_kind
  ),
  CASE WHEN d.endpoint_no IS NULL AND d.kind <> 1 THEN r.body END
FROM json_each(?2) wanted CROSS JOIN delivery d ON d.id = wanted.value CROSS JOIN run r ON r.no = d.run_no
WHERE d.owner = ?1;

-- name: note_attempts
UPDATE delivery SET
  owner = NULL, status = wanted.column2, next_attempt_ns = wanted.column3, attempts = wanted.column4,
  given_up_ns = wanted.column5, error = wanted.column6
FROM (VALUES :rows) wanted WHERE delivery.no = wanted.column1;

-- name: write_attempts
INSERT INTO delivery_attempt (key, body) SELECT * FROM (VALUES :rows) WHERE column1 IS NOT NULL;

-- name: forget_attempts
DELETE FROM delivery_attempt WHERE key IN (VALUES :rows);

-- name: release_deliveries
-- Those that waited for these.
UPDATE delivery SET behind = NULL WHERE behind IN (VALUES :rows);

-- name: due_deliveries
-- Due at ?1 and held by nobody, the longest due first, each with its receiver: of one queue ?2 at most. Goes from queue to queue, so
-- that it costs the same however long one is.
WITH RECURSIVE next_queue (name) AS (
  SELECT min(queue) FROM delivery
  WHERE next_attempt_ns IS NOT NULL AND owner IS NULL AND behind IS NULL AND queue IS NOT NULL
  UNION ALL
  SELECT (
    SELECT min(d.queue) FROM delivery d
    WHERE d.next_attempt_ns IS NOT NULL AND d.owner IS NULL AND d.behind IS NULL AND d.queue IS NOT NULL AND d.queue > n.name
  )
  FROM next_queue n WHERE n.name IS NOT NULL
)
SELECT json_group_array(json_array(no, receiver)) FROM (
  SELECT o.no, coalesce(e.receiver, o.queue) AS receiver
  FROM next_queue n
  CROSS JOIN delivery o ON o.no IN (
    SELECT d.no FROM delivery d
    WHERE d.queue = n.name AND d.next_attempt_ns <= ?1 AND d.owner IS NULL AND d.behind IS NULL ORDER BY d.next_attempt_ns LIMIT ?2
  )
  LEFT JOIN endpoint e ON e.no = o.endpoint_no
  WHERE n.name IS NOT NULL ORDER BY o.next_attempt_ns
);

-- name: due_pulled
-- As due_deliveries, of endpoint ?2 of tenant ?1, at ?3: ?4 at most.
SELECT json_group_array(no) FROM (
  SELECT d.no FROM endpoint e CROSS JOIN delivery d ON d.endpoint_no = e.no
  WHERE e.tenant = ?1 AND e.id = ?2
    AND d.next_attempt_ns <= ?3 AND d.owner IS NULL AND d.behind IS NULL AND d.queue IS NULL
  ORDER BY d.next_attempt_ns LIMIT ?4
);

-- name: take_deliveries
-- Of ?2, those that are still due at ?3 and held by nobody.
UPDATE delivery SET owner = ?1
WHERE no IN (SELECT value FROM json_each(?2)) AND owner IS NULL AND behind IS NULL AND next_attempt_ns <= ?3
RETURNING no;

-- name: taken_deliveries
SELECT d.id, d.tenant, d.kind, d.sequence, d.run_no, r.body, d.url, d.endpoint_no, e.body, e.secrets, d.window_ns, d.attempts
FROM json_each(?1) wanted CROSS JOIN delivery d ON d.no = wanted.value CROSS JOIN run r ON r.no = d.run_no
LEFT JOIN endpoint e ON e.no = d.endpoint_no
ORDER BY d.next_attempt_ns, d.no;

-- name: outbox
SELECT (SELECT count(*) FROM delivery WHERE endpoint_no IS NULL AND status = 1), EXISTS (SELECT 1 FROM endpoint WHERE no > 0);

-- name: free_deliveries
-- What replica ?1 held is due again.
UPDATE delivery SET owner = NULL WHERE owner = ?1;

-- name: delivery_number
SELECT no FROM delivery WHERE id = ?2 AND +tenant = ?1;

-- name: told_deliveries
-- Those with the numbers ?1, newest first.
SELECT d.no, d.id, r.id, d.sequence, d.kind, e.id, coalesce(d.url, e.url), d.status, d.create_ns, d.attempts, d.next_attempt_ns,
  d.given_up_ns, d.error
FROM json_each(?1) wanted CROSS JOIN delivery d ON d.no = wanted.value CROSS JOIN run r ON r.no = d.run_no
LEFT JOIN endpoint e ON e.no = d.endpoint_no
ORDER BY d.no DESC;

-- name: bytes_of_attempts
-- Of deliveries ?1.
SELECT coalesce(sum(length(a.body)), 0)
FROM json_each(?1) wanted CROSS JOIN delivery_attempt a ON a.key >= wanted.value << 28 AND a.key < wanted.value + 1 << 28;

-- name: attempts
-- The last ?2 at each of deliveries ?1.
SELECT d.no, a.body FROM json_each(?1) wanted CROSS JOIN delivery d ON d.no = wanted.value
CROSS JOIN delivery_attempt a ON a.key > (d.no << 28) + max(0, d.attempts - ?2) AND a.key < d.no + 1 << 28
ORDER BY a.key;

-- name: deliveries_of_ids
SELECT json_group_array(d.no) FROM json_each(?2) wanted CROSS JOIN delivery d ON d.id = wanted.value WHERE d.tenant = ?1;

-- name: missed_deliveries
-- Dead letters of endpoint ?2 of tenant ?1 since ?3, behind number ?4: ?5 at most, in their order.
SELECT json_group_array(no) FROM (
  SELECT d.no FROM endpoint e CROSS JOIN delivery d ON d.endpoint_no = e.no AND d.status = 3 AND d.no > ?4
  WHERE e.tenant = ?1 AND e.id = ?2 AND d.create_ns >= ?3
  ORDER BY d.no LIMIT ?5
);

-- name: redeliver
-- Those of ?1 that are done or given up, from ?2 on.
UPDATE delivery SET status = 1, window_ns = ?2, next_attempt_ns = ?2, given_up_ns = NULL, error = NULL
WHERE no IN (SELECT value FROM json_each(?1)) AND status <> 1
RETURNING no;

-- name: runs_called_back
-- Of those of deliveries ?1 that are the own callbacks of the ends of runs: the runs, which show how they stand.
SELECT r.no, r.body FROM json_each(?1) wanted CROSS JOIN delivery d ON d.no = wanted.value CROSS JOIN run r ON r.no = d.run_no
WHERE d.endpoint_no IS NULL AND d.kind <> 1;

-- name: write_run_body
UPDATE run SET body = ?2 WHERE no = ?1;

-- name: put_in_order
-- Of the runs of ?1: what is not done waits for what comes before it, if that is not done either.
UPDATE delivery SET behind = (
  SELECT s.no FROM delivery s
  WHERE s.run_no = delivery.run_no AND s.endpoint_no IS delivery.endpoint_no AND s.sequence < delivery.sequence AND +s.status = 1
)
WHERE run_no IN (SELECT d.run_no FROM json_each(?1) wanted CROSS JOIN delivery d ON d.no = wanted.value)
  AND status = 1;

-- name: register
INSERT INTO replica (id, beat_ns, slots) VALUES (?1, ?2, ?3) RETURNING no;

-- name: alive
SELECT count(*) FROM replica WHERE no = ?1;

-- name: beat
UPDATE replica SET beat_ns = ?2 WHERE no = ?1;

-- name: silent_replicas
-- Others than ?1 that were last heard of before ?2.
SELECT no FROM replica WHERE no <> ?1 AND beat_ns < ?2;

-- name: remove_replica
DELETE FROM replica WHERE no = ?1;

-- name: free_lanes
-- What replica ?1 held waits from ?2 on, or until its head may start.
UPDATE lane SET owner = NULL, (ready_at_ns, scheduled, held) = (
  SELECT
    max(?2, coalesce(max(r.start_ns), 0)), coalesce(max(r.start_ns > ?2), 0),
    paused_by IS NOT NULL AND coalesce(max(r.waits OR coalesce(r.start_ns > ?2, 0)), 0)
  FROM run r
  WHERE r.lane_no = lane.no AND r.seq = lane.head_seq AND r.status = 1 AND r.cancel_wanted IS NULL
)
WHERE held = 0 AND owner = ?1;

-- name: due_lanes
-- The first ?2 whose heads may start by ?1.
UPDATE lane SET scheduled = 0, held = paused_by IS NOT NULL AND EXISTS (
  SELECT 1 FROM run r
  WHERE r.lane_no = lane.no AND r.seq = lane.head_seq AND r.waits AND r.status = 1 AND r.cancel_wanted IS NULL
)
WHERE no IN (SELECT no FROM lane WHERE scheduled = 1 AND ready_at_ns <= ?1 ORDER BY ready_at_ns LIMIT ?2);

-- name: next_start
SELECT ready_at_ns FROM lane WHERE scheduled = 1 ORDER BY ready_at_ns LIMIT 1;

-- name: waiting_shares
-- Of which lanes wait: the first ?3 behind (?1, ?2), each with its tenant, none of tenants ?4. Goes from share to share, and past such
-- a tenant at once, so it costs what it gives.
WITH RECURSIVE behind (tenant, share, place) AS (
  SELECT ?1, ?2, 0
  UNION ALL
  SELECT n.tenant, n.share, behind.place + 1 FROM behind CROSS JOIN lane n ON n.no = (
    SELECT l.no FROM lane l INDEXED BY lane_waiting
    WHERE l.held = 0 AND l.scheduled = 0 AND l.barred = 0 AND l.owner IS NULL AND l.open > 0
      AND (l.tenant, l.share) > (
        behind.tenant, CASE WHEN behind.tenant IN (SELECT value FROM json_each(?4)) THEN 9223372036854775807 ELSE behind.share END
      )
    ORDER BY l.tenant, l.share LIMIT 1
  )
  LIMIT ?3 + 1 + json_array_length(?4)
)
SELECT json_group_array(json_array(tenant, share)) FROM (
  SELECT tenant, share FROM behind WHERE place > 0 AND tenant NOT IN (SELECT value FROM json_each(?4)) LIMIT ?3
);

-- name: waiting_lanes
-- The first ?3 lanes of share ?2 of tenant ?1 with runs and no holder; none whose head waits for answers or its time. Each with whether
-- its head is neither begun nor to be cancelled.
SELECT json_group_array(json_array(no, tenant, share, agent_no, is_idle)) FROM (
  SELECT l.no, l.tenant, l.share, l.agent_no, EXISTS (
    SELECT 1 FROM run r WHERE r.lane_no = l.no AND r.seq = l.head_seq AND r.status = 1 AND r.cancel_wanted IS NULL
  ) AS is_idle
  FROM lane l
  WHERE l.held = 0 AND l.scheduled = 0 AND l.barred = 0 AND l.owner IS NULL AND l.open > 0 AND l.tenant = ?1 AND l.share = ?2
  ORDER BY l.ready_at_ns + l.priority * 60000000000 LIMIT ?3
);

-- name: leases
-- How many there are, by tenant and agent.
SELECT json_group_array(json_array(tenant, agent_no, count)) FROM (
  SELECT tenant, agent_no, count(*) AS count FROM lane INDEXED BY lane_active
  WHERE (open > 0 OR owner IS NOT NULL) AND held = 0 AND owner > 0 GROUP BY tenant, agent_no
);

-- name: heads
-- Of lanes ?1, in that order.
SELECT json_group_array(json_array(lane_id, no, tenant, seq, cancel_wanted, cancel_kind, paused_by)) FROM (
  SELECT l.id AS lane_id, r.no, r.tenant, r.seq, r.cancel_wanted, r.cancel_kind, l.paused_by
  FROM json_each(?1) wanted CROSS JOIN lane l ON l.no = wanted.value
  CROSS JOIN run r ON r.lane_no = l.no AND r.seq = (
    SELECT min(seq) FROM run o WHERE o.lane_no = l.no AND o.seq >= l.head_seq AND o.status <= 2
  )
  ORDER BY wanted.key
);

-- name: bar_lanes
UPDATE lane SET barred = wanted.column2 FROM (VALUES :rows) wanted WHERE lane.no = wanted.column1;

-- name: free_lanes_of_agent
-- The first ?2 lanes of agent ?1 that are barred by its cap may be looked at again.
UPDATE lane SET barred = 0 WHERE no IN (
  SELECT no FROM lane WHERE barred > 0 AND barred = 2 AND agent_no = ?1 ORDER BY ready_at_ns + priority * 60000000000 LIMIT ?2
);

-- name: barred_agents
-- With lanes that are barred by their caps: the first ?2 behind ?1.
WITH RECURSIVE behind (agent_no) AS (
  SELECT ?1
  UNION ALL
  SELECT (
    SELECT l.agent_no FROM lane l WHERE l.barred > 0 AND l.barred = 2 AND l.agent_no > behind.agent_no ORDER BY l.agent_no LIMIT 1
  ) FROM behind WHERE behind.agent_no IS NOT NULL
  LIMIT ?2 + 1
)
SELECT json_group_array(agent_no) FROM (SELECT agent_no FROM behind WHERE agent_no IS NOT NULL LIMIT -1 OFFSET 1);

-- name: free_capped_lanes
-- The first ?1 of all that are barred by caps.
UPDATE lane SET barred = 0 WHERE no IN (SELECT no FROM lane WHERE barred > 0 AND barred = 2 LIMIT ?1);

-- name: dispatch_pauses
-- Those that count, and those that are lifted.
SELECT tenant, agent_no, share, lifted FROM dispatch_pause;

-- name: list_dispatch_pauses
-- Of tenant ?1 those that count, oldest first.
SELECT body FROM dispatch_pause WHERE tenant = ?1 AND lifted = 0 ORDER BY no;

-- name: dispatch_pause
-- Of tenant ?1, agent ?2 and share ?3, if it counts.
SELECT body FROM dispatch_pause WHERE tenant = ?1 AND agent_no = ?2 AND share = ?3 AND lifted = 0;

-- name: count_dispatch_pauses
SELECT count(*) FROM dispatch_pause WHERE tenant = ?1 AND lifted = 0;

-- name: write_dispatch_pause
INSERT INTO dispatch_pause (tenant, agent_no, share, body) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (tenant, agent_no, share) DO UPDATE SET lifted = 0, body = excluded.body;

-- name: lift_dispatch_pause
UPDATE dispatch_pause SET lifted = 1 WHERE tenant = ?1 AND agent_no = ?2 AND share = ?3 AND lifted = 0 RETURNING no;

-- name: delete_lifted_pause
DELETE FROM dispatch_pause WHERE tenant = ?1 AND agent_no = ?2 AND share = ?3 AND lifted = 1;

-- name: delete_pauses_of_agent
DELETE FROM dispatch_pause WHERE agent_no = ?1;

-- name: pause_lanes
-- Bar the first ?4 lanes of tenant ?1, agent ?2 (0: any) and share ?3 (-1: any) that wait, but for those whose head goes on or is to be
-- cancelled. None if the pause of these does not count.
UPDATE lane SET barred = 1 WHERE no IN (
  SELECT l.no FROM lane l
  WHERE l.held = 0 AND l.scheduled = 0 AND :waiting AND l.owner IS NULL AND l.open > 0
    AND l.tenant = ?1 AND (?2 = 0 OR l.agent_no = ?2) AND (?3 = -1 OR l.share = ?3)
    AND EXISTS (SELECT 1 FROM run r WHERE r.lane_no = l.no AND r.seq = l.head_seq AND r.status = 1 AND r.cancel_wanted IS NULL)
    AND EXISTS (SELECT 1 FROM dispatch_pause p WHERE p.tenant = ?1 AND p.agent_no = ?2 AND p.share = ?3 AND p.lifted = 0)
  LIMIT ?4
);

-- name: unpause_lanes
-- The first ?4 lanes of tenant ?1, agent ?2 (0: any) and share ?3 (-1: any) that are barred by a pause, but for those for which another
-- one counts.
UPDATE lane SET barred = 0 WHERE no IN (
  SELECT l.no FROM lane l
  WHERE l.barred > 0 AND l.barred = 1 AND :of_agent AND l.tenant = ?1 AND (?3 = -1 OR l.share = ?3) AND NOT EXISTS (
    SELECT 1 FROM dispatch_pause p
    WHERE p.lifted = 0 AND p.tenant = l.tenant AND (p.agent_no, p.share) IN (VALUES (l.agent_no, -1), (0, l.share), (0, -1))
  )
  ORDER BY l.agent_no, l.ready_at_ns + l.priority * 60000000000 LIMIT ?4
);

-- name: take_lanes
UPDATE lane SET owner = ?1 WHERE no IN (SELECT value FROM json_each(?2)) AND owner IS NULL;

-- name: runs
SELECT json_group_array(json_array(r.tenant, r.id, hex(r.body)))
FROM json_each(?1) wanted CROSS JOIN run r ON r.id = wanted.value;

-- name: run_marks
SELECT r.id, r.body FROM json_each(?1) wanted CROSS JOIN run r ON r.id = wanted.value WHERE r.status <> 9;

-- name: wanted_cancels
SELECT r.id, r.cancel_wanted, r.cancel_kind
FROM lane l CROSS JOIN run r ON r.lane_no = l.no AND r.seq >= l.head_seq
WHERE l.held = 0 AND l.owner = ?1 AND r.cancel_wanted IS NOT NULL AND r.status <= 2;

-- name: queued
SELECT
  (SELECT count(*) FROM run o WHERE o.lane_no = r.lane_no AND o.seq >= l.head_seq AND o.seq < r.seq AND o.status <= 2),
  (SELECT o.id FROM run o WHERE o.lane_no = r.lane_no AND o.seq >= l.head_seq AND o.seq < r.seq AND o.status <= 2 ORDER BY o.seq LIMIT 1),
  CASE WHEN l.held THEN l.paused_by ELSE '' END,
  r.start_ns,
  (
    SELECT p.body FROM dispatch_pause p
    WHERE p.lifted = 0 AND p.tenant = l.tenant AND (p.agent_no, p.share) IN (VALUES (l.agent_no, -1), (0, r.share), (0, -1))
      AND l.owner IS NULL AND r.seq = l.head_seq AND r.status = 1 AND r.cancel_wanted IS NULL
    ORDER BY p.no LIMIT 1
  ),
  CASE WHEN ?2 AND l.owner IS NULL AND r.seq = l.head_seq THEN json_array(
    (SELECT count(*) FROM lane o INDEXED BY lane_active WHERE (o.open > 0 OR o.owner IS NOT NULL) AND o.held = 0 AND o.owner > 0 AND o.agent_no = l.agent_no),
    (SELECT count(*) FROM lane o INDEXED BY lane_active WHERE (o.open > 0 OR o.owner IS NOT NULL) AND o.held = 0 AND o.owner > 0 AND o.tenant = l.tenant)
  ) END,
  l.tenant
FROM run r CROSS JOIN lane l ON l.no = r.lane_no
WHERE r.id = ?1 AND r.status <= 2;

-- name: standing
-- Of run ?2 of tenant ?1, with the numbers of its lane.
SELECT r.body, l.no, l.agent_no, r.seq, l.share, l.priority, l.ready_at_ns, r.start_before_ns, l.owner,
  l.owner IS NULL AND l.open > 0 AND NOT l.held AND NOT l.scheduled
FROM run r CROSS JOIN lane l ON l.no = r.lane_no
WHERE r.id = ?2 AND r.tenant = ?1 AND r.status <> 9;

-- name: in_front
-- The first ?3 open runs of lane ?1 before ?2.
SELECT o.body FROM lane l CROSS JOIN run o ON o.lane_no = l.no AND o.seq >= l.head_seq AND o.seq < ?2 AND o.status <= 2
WHERE l.no = ?1
ORDER BY o.seq LIMIT ?3;

-- name: run_body
SELECT body FROM run WHERE id = ?1;

-- name: lanes_ahead
-- How many lanes of share ?2 of tenant ?1 go before rank ?3, up to ?4.
SELECT count(*) FROM (
  SELECT 1 FROM lane INDEXED BY lane_waiting
  WHERE held = 0 AND scheduled = 0 AND barred = 0 AND owner IS NULL AND open > 0
    AND tenant = ?1 AND share = ?2 AND ready_at_ns + priority * 60000000000 < ?3
  LIMIT ?4
);

-- name: slot_holders
-- Runs of tenant ?1, of agent ?2 unless it is NULL, in lanes that are held, ?3 of them.
SELECT r.id FROM replica p
CROSS JOIN lane l INDEXED BY lane_active ON l.held = 0 AND l.owner = p.no AND (l.open > 0 OR l.owner IS NOT NULL)
CROSS JOIN run r ON r.lane_no = l.no AND r.seq = l.head_seq AND r.status <= 2
WHERE r.tenant = ?1 AND (?2 IS NULL OR l.agent_no = ?2)
LIMIT ?3;

-- name: replicas
-- The first ?1, with the number of each and how many lanes it holds.
SELECT p.no, p.id, p.beat_ns, p.slots, (
  SELECT count(*) FROM lane l INDEXED BY lane_active
  WHERE l.held = 0 AND l.owner = p.no AND (l.open > 0 OR l.owner IS NOT NULL)
) FROM replica p ORDER BY p.no LIMIT ?1;

-- name: count_open
-- How many open runs tenant ?1 has, up to ?2 or a little more.
SELECT coalesce(sum(open), 0) FROM (
  SELECT open FROM lane INDEXED BY lane_active WHERE open > 0 AND tenant = ?1 LIMIT ?2
);

-- name: stored
-- Of tenant ?1: bytes of messages that were listed after ?2, bytes of all files, when the last of these messages was listed.
SELECT coalesce(sum(size), 0), (SELECT coalesce(sum(length(data)), 0) FROM file WHERE tenant = ?1), coalesce(max(listed_ns), 0)
FROM listed WHERE tenant = ?1 AND listed_ns > ?2;

-- name: count_queue
-- Of the first ?3 open runs of tenant ?1 how many there are by share and priority; ?4 groups at most, of shares ?2 unless they are NULL.
-- ?5 is now, ?6 and ?7 are the caps of an agent and of a tenant.
WITH at_work AS MATERIALIZED (
  SELECT agent_no, count(*) AS leases FROM lane INDEXED BY lane_active
  WHERE (open > 0 OR owner IS NOT NULL) AND held = 0 AND owner > 0 AND tenant = ?1 GROUP BY agent_no
), capped AS MATERIALIZED (
  SELECT agent_no FROM at_work WHERE ?6 > 0 AND leases >= ?6
), tenant_full AS MATERIALIZED (
  SELECT ?7 > 0 AND coalesce(sum(leases), 0) >= ?7 AS yes FROM at_work
)
SELECT r.body, g.* FROM (
  SELECT * FROM (
    SELECT min(o.no) AS no, o.share, o.priority, sum(o.state = 1), sum(o.state = 2), sum(o.state = 3), sum(o.state = 4),
      min(CASE WHEN o.state = 1 THEN o.ready_at_ns END), count(*) AS runs
    FROM (
      SELECT r.no, r.share, r.priority, l.ready_at_ns, CASE
        WHEN r.seq <> l.head_seq THEN 2
        WHEN l.owner IS NOT NULL THEN 4
        WHEN r.start_ns > ?5 THEN 3
        WHEN l.held OR (SELECT yes FROM tenant_full) OR l.agent_no IN (SELECT agent_no FROM capped) THEN 2
        WHEN r.status = 1 AND r.cancel_wanted IS NULL AND EXISTS (
          SELECT 1 FROM dispatch_pause p
          WHERE p.lifted = 0 AND p.tenant = l.tenant AND (p.agent_no, p.share) IN (VALUES (l.agent_no, -1), (0, r.share), (0, -1))
        ) THEN 2
        ELSE 1 END AS state
      FROM lane l INDEXED BY lane_active CROSS JOIN run r ON r.lane_no = l.no AND r.seq >= l.head_seq AND r.status <= 2
      WHERE l.open > 0 AND l.tenant = ?1
      LIMIT ?3
    ) o
    GROUP BY o.share, o.priority
  )
  WHERE ?2 IS NULL OR share IN (SELECT value FROM json_each(?2))
  ORDER BY runs DESC, share, priority LIMIT ?4
) g CROSS JOIN run r USING (no)
ORDER BY g.runs DESC, g.share, g.priority;

-- name: queue_depths
-- Of each tenant of ?1 that has open runs, and of all others under '', what its lanes wait for; ?2 is now.
SELECT told, sum(state = 1), sum(state = 2), sum(state = 3), sum(state = 4), sum(open - 1),
  coalesce(max(CASE WHEN state = 1 THEN ?2 - ready_at_ns END), 0)
FROM (
  SELECT CASE WHEN tenant IN (SELECT value FROM json_each(?1)) THEN tenant ELSE '' END AS told, open, ready_at_ns, CASE
    WHEN owner IS NOT NULL THEN 4
    WHEN held THEN 3
    WHEN scheduled AND ready_at_ns > ?2 THEN 2
    WHEN barred > 0 OR EXISTS (
      SELECT 1 FROM dispatch_pause p
      WHERE p.lifted = 0 AND p.tenant = lane.tenant AND (p.agent_no, p.share) IN (VALUES (lane.agent_no, -1), (0, lane.share), (0, -1))
    ) THEN 3
    ELSE 1 END AS state
  FROM lane INDEXED BY lane_active WHERE (open > 0 OR owner IS NOT NULL) AND open > 0
)
GROUP BY told;

-- name: first_steps
-- The runs of tenant ?1 whose first step is among its newest ?2, each with the run before it in its lane.
SELECT r.body, r.start_ns, (
  SELECT b.body FROM run b WHERE b.lane_no = r.lane_no AND b.seq < r.seq AND b.status <> 9 ORDER BY b.seq DESC LIMIT 1
)
FROM (SELECT key, start_ns FROM step WHERE tenant = ?1 ORDER BY start_ns DESC LIMIT ?2) s
CROSS JOIN run r ON r.no = s.key >> 20
WHERE s.key & 1048575 = 0 AND r.status <> 9
ORDER BY s.start_ns DESC;

-- name: events
-- Of run ?1 after ?2: ?3 at most, and no more once ?4 bytes are there.
SELECT json_group_array(json_array(key, body)) FROM (
  SELECT e.key, CASE WHEN length(e.body) <= 16384 THEN hex(e.body) END AS body FROM (
    SELECT key, sum(size) OVER (ORDER BY key ROWS UNBOUNDED PRECEDING) - size AS before FROM (
      SELECT e.key, length(e.body) AS size
      FROM run r CROSS JOIN run_log e ON e.key > (r.no << 20) + ?2 AND e.key < r.no + 1 << 20
      WHERE r.id = ?1
      ORDER BY e.key LIMIT ?3
    )
  ) page CROSS JOIN run_log e ON e.key = page.key
  WHERE page.before < ?4
  ORDER BY page.key
);

-- name: run_messages
-- Of run ?1 after position ?2: ?3 at most.
SELECT json_group_array(json_array(key, body)) FROM (
  SELECT m.key, CASE WHEN length(m.body) <= 16384 THEN hex(m.body) END AS body FROM run r
  CROSS JOIN message m ON m.key >= (r.no << 20) + max(0, ?2 + 1 - (r.seq << 20)) AND m.key < r.no + 1 << 20
  WHERE r.id = ?1
  ORDER BY m.key LIMIT ?3
);

-- name: run_request
SELECT l.body FROM run r CROSS JOIN run_log l ON l.key = r.no << 20 WHERE r.id = ?2 AND r.tenant = ?1;

-- name: history
-- Of lane ?1 before position ?2, newest first: ?3 at most, each with its position and the bytes up to and with it. Without
-- body where these are more than ?4.
SELECT json_group_array(json_array(position, total, key, body)) FROM (
  SELECT page.position, page.total, m.key,
    CASE WHEN page.total <= ?4 AND length(m.body) <= 16384 THEN hex(m.body) END AS body
  FROM (
    SELECT key, position, sum(size) OVER (ORDER BY position DESC ROWS UNBOUNDED PRECEDING) AS total FROM (
      SELECT m.key, (r.seq << 20) + (m.key & 1048575) AS position, length(m.body) AS size
      FROM lane l
      CROSS JOIN (:runs) r ON r.lane_no = l.no AND r.seq <= ?2 >> 20
      CROSS JOIN message m ON m.key >= r.no << 20 AND m.key <= (r.no << 20) + r.last_place
      WHERE l.id = ?1 AND (r.seq << 20) + (m.key & 1048575) < ?2
      ORDER BY r.seq DESC, m.key DESC LIMIT ?3
    )
  ) page CROSS JOIN message m ON m.key = page.key
  ORDER BY page.position DESC
);

-- name: step_place
SELECT start_ns, key FROM step WHERE id = ?2 AND +tenant = ?1;

-- name: set_feedback
UPDATE step SET feedback = ?3, tags = CASE WHEN ?4 IS NULL THEN tags ELSE ?4 END WHERE id = ?2 AND +tenant = ?1;

-- name: step_of_id
SELECT body, feedback, tags FROM step WHERE id = ?2 AND +tenant = ?1;

-- name: steps
-- Of run ?1.
SELECT s.body, s.feedback, s.tags FROM run r CROSS JOIN step s ON s.key >= r.no << 20 AND s.key < r.no + 1 << 20
WHERE r.id = ?1 ORDER BY s.key;

-- name: overdue_runs
-- Not begun though they were to be before ?1.
SELECT tenant, id FROM run WHERE start_before_ns < ?1 AND status = 1 ORDER BY start_before_ns LIMIT ?2;

-- name: newest_actions
-- Of lane ?2 of tenant ?1.
SELECT r.id, s.answered_by, s.settled, l.no
FROM lane l CROSS JOIN action_set s ON s.lane_no = l.no CROSS JOIN run r ON r.no = s.run_no
WHERE l.id = ?2 AND l.tenant = ?1;

-- name: actions
-- Of lane ?1.
SELECT json_group_array(json_array(key, body)) FROM (
  SELECT key, CASE WHEN length(body) <= 16384 THEN hex(body) END AS body FROM action
  WHERE key >= ?1 << 20 AND key < ?1 + 1 << 20
  ORDER BY key
);

-- name: expired_actions
-- The runs that stopped for them. No run is at work in their lanes, which would settle them.
SELECT l.tenant, l.id, l.paused_by
FROM action a CROSS JOIN lane l ON l.no = a.key >> 20
WHERE a.settled = 0 AND a.expire_ns < ?1 AND (l.open = 0 OR l.held)
GROUP BY l.no ORDER BY min(a.expire_ns) LIMIT ?2;

-- name: action
SELECT body FROM action WHERE key = ?1;

-- name: log_entry
SELECT body FROM run_log WHERE key = ?1;

-- name: message
SELECT body FROM message WHERE key = ?1;

-- name: create_agent
INSERT INTO agent (id, tenant, create_time_ns, etag, key_scope, key_value, fingerprint, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING no;

-- name: create_lane
INSERT INTO lane (id, tenant, agent_no) VALUES (?1, ?2, ?3);

-- name: agent_of_key
SELECT id, fingerprint, body FROM agent WHERE tenant = ?1 AND key_value = ?2 AND key_scope = ?3;

-- name: agent
SELECT body FROM agent WHERE tenant = ?1 AND id = ?2;

-- name: update_agent
UPDATE agent SET etag = ?4, body = ?5 WHERE tenant = ?1 AND id = ?2 AND etag = ?3 RETURNING no;

-- name: agent_number
SELECT no FROM agent WHERE tenant = ?1 AND id = ?2;

-- name: delete_agent
DELETE FROM agent WHERE no = ?1;

-- name: messages
-- Of lane ?2 of tenant ?1 behind position ?3: ?4 at most, and no more once ?5 bytes are there.
SELECT json_group_array(json_array(key, body)) FROM (
  SELECT m.key, CASE WHEN length(m.body) <= 16384 THEN hex(m.body) END AS body FROM (
    SELECT key, position, sum(size) OVER (ORDER BY position :order ROWS UNBOUNDED PRECEDING) - size AS before FROM (
      SELECT m.key, (r.seq << 20) + (m.key & 1048575) AS position, length(m.body) AS size
      FROM lane l
      CROSS JOIN (:runs) r ON r.lane_no = l.no AND r.seq :behind= ?3 >> 20
      CROSS JOIN message m ON m.key >= r.no << 20 AND m.key <= (r.no << 20) + r.last_place
      WHERE l.id = ?2 AND l.tenant = ?1 AND (r.seq << 20) + (m.key & 1048575) :behind ?3
      ORDER BY r.seq :order, m.key :order LIMIT ?4
    )
  ) page CROSS JOIN message m ON m.key = page.key
  WHERE page.before < ?5
  ORDER BY page.position :order
);

-- name: message_position
-- Of the last entry of message ?3, if it is in lane ?2 of tenant ?1.
SELECT (r.seq << 20) + m.last_place
FROM listed m
CROSS JOIN (:runs) r ON r.no = m.key >> 20 AND m.last_place <= r.last_place
CROSS JOIN lane l ON l.no = r.lane_no
WHERE m.id = ?3 AND l.id = ?2 AND l.tenant = ?1
ORDER BY m.key DESC LIMIT 1;

-- name: list_messages
-- The messages of a list with their places: those of types ?1 between the places ?3 and ?4, ?5 at most, and no more once ?2 bytes are
-- there.
SELECT json_group_array(json_array(place, key, body)) FROM (
  SELECT page.place, m.key, CASE WHEN length(m.body) <= 16384 THEN hex(m.body) END AS body
  FROM (
    SELECT key, place, last_place, sum(size) OVER (ORDER BY place :order ROWS UNBOUNDED PRECEDING) - size AS before FROM (:list)
  ) page CROSS JOIN message m ON m.key >= page.key AND m.key <= (page.key >> 20 << 20) + page.last_place
  WHERE page.before < ?2
  ORDER BY page.place :order, m.key
);

-- name: list_of_run
-- Of run ?7 of tenant ?6.
SELECT m.key, m.key & 1048575 AS place, m.last_place, m.size
FROM run r CROSS JOIN listed m ON m.key > (r.no << 20) + max(?3, -1) AND m.key < (r.no << 20) + min(?4, 1048576)
WHERE r.id = ?7 AND r.tenant = ?6 AND m.types & ?1
ORDER BY m.key :order LIMIT ?5;

-- name: list_of_lane
-- Of lane ?7 of tenant ?6.
SELECT m.key, (r.seq << 20) + (m.key & 1048575) AS place, m.last_place, m.size
FROM lane l
CROSS JOIN (:runs) r ON r.lane_no = l.no AND r.seq >= ?3 >> 20 AND r.seq <= ?4 >> 20
CROSS JOIN listed m ON m.key >= r.no << 20 AND m.key <= (r.no << 20) + r.last_place
WHERE l.id = ?7 AND l.tenant = ?6 AND (r.seq << 20) + (m.key & 1048575) > ?3 AND (r.seq << 20) + (m.key & 1048575) < ?4
  AND m.types & ?1
ORDER BY r.seq :order, m.key :order LIMIT ?5;

-- name: list_of_agent
-- Of agent ?7 of tenant ?6.
SELECT key, listed_ns AS place, last_place, size FROM listed
WHERE agent_no = (SELECT no FROM agent WHERE tenant = ?6 AND id = ?7) AND listed_ns > ?3 AND listed_ns < ?4 AND types & ?1
ORDER BY listed_ns :order LIMIT ?5;

-- name: list_of_tenant
-- Of tenant ?6; ?7 does not matter.
SELECT key, listed_ns AS place, last_place, size FROM listed
WHERE tenant = ?6 AND ?7 IS NULL AND listed_ns > ?3 AND listed_ns < ?4 AND types & ?1
ORDER BY listed_ns :order LIMIT ?5;

-- name: place_in_run
-- Of message ?1 in run ?3 of tenant ?2.
SELECT m.key & 1048575 FROM listed m CROSS JOIN run r ON r.no = m.key >> 20
WHERE m.id = ?1 AND r.tenant = ?2 AND r.id = ?3;

-- name: place_in_lane
-- Of message ?1 in lane ?3 of tenant ?2.
SELECT (r.seq << 20) + (m.key & 1048575)
FROM listed m
CROSS JOIN (:runs) r ON r.no = m.key >> 20 AND m.key & 1048575 <= r.last_place
CROSS JOIN lane l ON l.no = r.lane_no
WHERE m.id = ?1 AND l.tenant = ?2 AND l.id = ?3;

-- name: place_in_agent
-- Of message ?1 among those of agent ?3 of tenant ?2. The plus keeps SQLite from looking through all of them.
SELECT listed_ns FROM listed
WHERE id = ?1 AND +agent_no = (SELECT no FROM agent WHERE tenant = ?2 AND id = ?3) AND listed_ns IS NOT NULL;

-- name: place_in_tenant
-- Of message ?1 among those of tenant ?2; ?3 does not matter.
SELECT listed_ns FROM listed WHERE id = ?1 AND +tenant = ?2 AND ?3 IS NULL AND listed_ns IS NOT NULL;

-- name: entries_of_message
-- Of message ?2 of tenant ?1, if it is part of a conversation.
SELECT e.body FROM listed m CROSS JOIN message e ON e.key >= m.key AND e.key <= (m.key >> 20 << 20) + m.last_place
WHERE m.id = ?2 AND +m.tenant = ?1 AND m.listed_ns IS NOT NULL
ORDER BY e.key;

-- name: lane_number
SELECT no FROM lane WHERE tenant = ?1 AND id = ?2 AND agent_no = ?3;

-- name: create_conversation_lane
INSERT INTO lane (id, tenant, agent_no) VALUES (?1, ?2, ?3) RETURNING no;

-- name: create_conversation
INSERT INTO conversation (no, id, tenant, agent_no, create_time_ns, etag, key_scope, key_value, fingerprint, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10);

-- name: note_last_message
UPDATE lane SET last_message_ns = ?2 WHERE no = ?1;

-- name: inherit
-- Lane ?1 begins with what lane ?2 has up to position ?3.
INSERT INTO inherited (lane_no, seq, run_no, last_place, left_out)
SELECT ?1, seq, no, last_key & 1048575, left_out FROM (
  SELECT r.seq, r.no, r.left_out, (
    SELECT max(m.key) FROM message m
    WHERE m.key >= r.no << 20
      AND m.key <= (r.no << 20) + CASE WHEN r.seq = ?3 >> 20 THEN min(r.last_place, ?3 & 1048575) ELSE r.last_place END
  ) AS last_key
  FROM (:runs) r WHERE r.lane_no = ?2 AND r.seq <= ?3 >> 20
) WHERE last_key IS NOT NULL;

-- name: begin_behind_inherited
-- The first run of lane ?1 comes behind all that it has inherited.
UPDATE lane SET (last_seq, head_seq) = (SELECT coalesce(max(seq), 0), coalesce(max(seq), 0) + 1 FROM inherited WHERE lane_no = ?1)
WHERE no = ?1;

-- name: conversation_of_key
SELECT id, fingerprint FROM conversation WHERE tenant = ?1 AND key_value = ?2 AND key_scope = ?3;

-- name: conversation
SELECT no, body FROM conversation WHERE tenant = ?1 AND id = ?2;

-- name: list_conversations
-- Of tenant ?1, and of agent ?2 if that is one, those behind (?3, ?4) in the direction. `:key` is the time they go by.
SELECT c.no, :key, c.id, c.body FROM conversation c CROSS JOIN lane l ON l.no = c.no
WHERE :owner AND (:key, c.id) :behind (?3, ?4)
ORDER BY :key :order, c.id :order LIMIT ?5;

-- name: conversation_key
SELECT :key FROM conversation c CROSS JOIN lane l ON l.no = c.no WHERE c.tenant = ?1 AND c.id = ?2;

-- name: conversation_now
-- What lane ?1 is doing: the run under way, how many have not ended, its newest message, how many answers it waits for. Only
-- the head can be under way.
SELECT
  (SELECT r.id FROM run r WHERE r.lane_no = l.no AND r.seq = l.head_seq AND r.status = 2),
  l.open,
  coalesce(
    (
      SELECT m.key FROM (:runs) r CROSS JOIN message m ON m.key >= r.no << 20 AND m.key <= (r.no << 20) + r.last_place
      WHERE r.lane_no = l.no ORDER BY r.seq DESC, m.key DESC LIMIT 1
    ),
    (SELECT (i.run_no << 20) + i.last_place FROM inherited i WHERE i.lane_no = l.no ORDER BY i.seq DESC LIMIT 1)
  ),
  CASE WHEN l.paused_by IS NOT NULL AND (l.open = 0 OR l.held) THEN (
    SELECT count(*) FROM action a WHERE a.key >= l.no << 20 AND a.key < l.no + 1 << 20
  ) ELSE 0 END
FROM lane l WHERE l.no = ?1;

-- name: update_conversation
UPDATE conversation SET etag = ?4, body = ?5 WHERE tenant = ?1 AND id = ?2 AND etag = ?3;

-- name: conversation_number
SELECT no FROM conversation WHERE tenant = ?1 AND id = ?2;

-- name: open_runs
SELECT coalesce(sum(open), 0) FROM lane WHERE no IN (:lanes);

-- name: delete_keys
DELETE FROM run_key WHERE run_no IN (SELECT no FROM run WHERE lane_no IN (:lanes));

-- name: delete_log
DELETE FROM run_log WHERE key IN (
  SELECT e.key FROM run r CROSS JOIN run_log e ON e.key >= r.no << 20 AND e.key < r.no + 1 << 20 WHERE r.lane_no IN (:lanes)
);

-- name: delete_messages
-- Those that no other conversation has inherited.
DELETE FROM message WHERE key IN (
  SELECT m.key FROM run r CROSS JOIN message m ON m.key >= r.no << 20 AND m.key < r.no + 1 << 20
  WHERE r.lane_no IN (:lanes) AND NOT EXISTS (
    SELECT 1 FROM inherited o WHERE o.run_no = r.no AND o.last_place >= m.key & 1048575 AND o.lane_no NOT IN (:lanes)
  )
);

-- name: delete_inherited_messages
-- Those that no other conversation has inherited, and whose own conversation is gone.
DELETE FROM message WHERE key IN (
  SELECT m.key FROM inherited i
  CROSS JOIN message m ON m.key >= i.run_no << 20 AND m.key <= (i.run_no << 20) + i.last_place
  WHERE i.lane_no IN (:lanes) AND NOT EXISTS (SELECT 1 FROM run WHERE no = i.run_no) AND NOT EXISTS (
    SELECT 1 FROM inherited o WHERE o.run_no = i.run_no AND o.last_place >= m.key & 1048575 AND o.lane_no NOT IN (:lanes)
  )
);

-- name: delete_inherited
DELETE FROM inherited WHERE lane_no IN (:lanes);

-- name: delete_steps
DELETE FROM step WHERE key IN (
  SELECT s.key FROM run r CROSS JOIN step s ON s.key >= r.no << 20 AND s.key < r.no + 1 << 20 WHERE r.lane_no IN (:lanes)
);

-- name: delete_left_out
DELETE FROM left_out WHERE run_no IN (SELECT no FROM run WHERE lane_no IN (:lanes));

-- name: delete_actions
DELETE FROM action WHERE key IN (
  SELECT a.key FROM lane l CROSS JOIN action a ON a.key >= l.no << 20 AND a.key < l.no + 1 << 20 WHERE l.no IN (:lanes)
);

-- name: delete_action_sets
DELETE FROM action_set WHERE lane_no IN (:lanes);

-- name: empty_outbox
DELETE FROM delivery WHERE run_no = ?1;

-- name: delete_deliveries
DELETE FROM delivery WHERE run_no IN (SELECT no FROM run WHERE lane_no IN (:lanes));

-- name: delete_purges
DELETE FROM purge WHERE run_no IN (SELECT no FROM run WHERE lane_no IN (:lanes));

-- name: delete_runs
DELETE FROM run WHERE lane_no IN (:lanes);

-- name: run_to_delete
-- Its number and status, its lane's number, and whether that waits for its actions.
SELECT r.no, r.status, r.lane_no, coalesce(l.paused_by = r.id, 0) FROM run r CROSS JOIN lane l ON l.no = r.lane_no
WHERE r.tenant = ?1 AND r.id = ?2;

-- name: empty_run
-- What is left of a deleted run keeps the places of its messages, and its keys.
UPDATE run SET id = 'deleted:' || id, status = 9, body = x'' WHERE no = ?1;

-- name: empty_log
DELETE FROM run_log WHERE key >= ?1 << 20 AND key < ?1 + 1 << 20;

-- name: empty_steps
DELETE FROM step WHERE key >= ?1 << 20 AND key < ?1 + 1 << 20;

-- name: due_purges
-- Runs that are to be purged at ?1, the longest due first: each with its lane, whether it is deleted already, and whether it must
-- not be yet. Where the lane has something that is not over, also the bodies of the run, of the head and of who waits for answers.
SELECT r.no, r.id, r.lane_no, r.status = 9,
  coalesce(l.paused_by = r.id, 0) OR EXISTS (SELECT 1 FROM delivery d WHERE d.run_no = r.no AND d.status = 1),
  CASE WHEN l.open > 0 OR l.paused_by IS NOT NULL THEN r.body END,
  CASE WHEN l.open > 0 THEN (SELECT h.body FROM run h WHERE h.lane_no = l.no AND h.seq = l.head_seq) END,
  CASE WHEN l.paused_by IS NOT NULL THEN (SELECT w.body FROM run w WHERE w.id = l.paused_by) END
FROM (SELECT run_no, due_ns FROM purge WHERE due_ns <= ?1 ORDER BY due_ns LIMIT ?2) p
CROSS JOIN run r ON r.no = p.run_no CROSS JOIN lane l ON l.no = r.lane_no
ORDER BY p.due_ns;

-- name: put_off_purge
UPDATE purge SET due_ns = ?2 WHERE run_no = ?1;

-- name: forget_purge
DELETE FROM purge WHERE run_no = ?1;

-- name: free_keys
DELETE FROM run_key WHERE run_no = ?1;

-- name: empty_some_log
-- ?2 entries at most.
DELETE FROM run_log WHERE key IN (SELECT key FROM run_log WHERE key >= ?1 << 20 AND key < ?1 + 1 << 20 ORDER BY key LIMIT ?2);

-- name: delete_what_only_the_run_lists
-- Of run ?1, if its entries from place ?2 on are part of no conversation (left_out.what ?3).
DELETE FROM message WHERE key >= (?1 << 20) + ?2 AND key < ?1 + 1 << 20 AND ?3 <= (SELECT what FROM left_out WHERE run_no = ?1);

-- name: forget_actions
-- Of lane ?2, if they are those that run ?1 had stopped for.
DELETE FROM action WHERE key >= ?2 << 20 AND key < ?2 + 1 << 20 AND EXISTS (SELECT 1 FROM action_set WHERE lane_no = ?2 AND run_no = ?1);

-- name: forget_action_set
DELETE FROM action_set WHERE lane_no = ?2 AND run_no = ?1;

-- name: delete_conversations
DELETE FROM conversation WHERE no IN (:lanes);

-- name: delete_lanes
DELETE FROM lane WHERE no IN (:lanes);

-- name: create_agent_entry
INSERT INTO agent_entry (agent_no, id, tenant, name, create_time_ns, update_time_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: update_agent_entry
UPDATE agent_entry SET name = ?2, update_time_ns = ?3 WHERE agent_no = ?1;

-- name: delete_agent_entry
DELETE FROM agent_entry WHERE agent_no = ?1;

-- name: write_last_runs
-- Of runs that have ended, each with the number of its lane, when it ended, why, and what is told of it. The last to end counts.
UPDATE agent_entry SET last_run_time_ns = newest.time_ns, last_stop_reason = newest.stop_reason, last_run = newest.last_run
FROM (
  SELECT l.agent_no, max(ended.column2) AS time_ns, ended.column3 AS stop_reason, ended.column4 AS last_run
  FROM (VALUES :rows) ended CROSS JOIN lane l ON l.no = ended.column1 GROUP BY l.agent_no
) newest
WHERE agent_entry.agent_no = newest.agent_no AND newest.time_ns >= agent_entry.last_run_time_ns;

-- name: create_tag
INSERT INTO :table (tenant, tag, owner_no) VALUES (?1, ?2, ?3);

-- name: delete_tags
DELETE FROM :table WHERE owner_no = ?1;

-- name: list_tags
-- Tags of tenant ?1 with ?3 in them, behind ?2: from each one to the next, however many have it.
WITH RECURSIVE found (tag) AS (
  SELECT :next(tag) FROM (
    SELECT :next(tag) AS tag FROM agent_tag WHERE tenant = ?1 AND :first
    UNION ALL SELECT :next(tag) FROM block_tag WHERE tenant = ?1 AND :first
  )
  UNION ALL
  SELECT (SELECT :next(tag) FROM (
    SELECT :next(tag) AS tag FROM agent_tag WHERE tenant = ?1 AND tag :than found.tag
    UNION ALL SELECT :next(tag) FROM block_tag WHERE tenant = ?1 AND tag :than found.tag
  )) FROM found WHERE found.tag IS NOT NULL
)
SELECT tag FROM found WHERE tag IS NOT NULL AND (?3 = '' OR instr(folded(tag), ?3) > 0) LIMIT ?4;

-- name: create_tool
-- Nothing happens if the id or the name is taken.
INSERT INTO tool (tenant, id, name, etag, body, create_time_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING;

-- name: update_tool
-- Nothing happens if another tool has the name.
UPDATE OR IGNORE tool SET name = ?3, etag = ?4, body = ?5, create_time_ns = ?6 WHERE tenant = ?1 AND id = ?2 AND etag = ?7;

-- name: tool
SELECT body FROM tool WHERE tenant = ?1 AND id = ?2;

-- name: tool_named
SELECT body FROM tool WHERE tenant = ?1 AND name = ?2;

-- name: list_tools
SELECT body FROM tool WHERE tenant = ?1 AND name > ?2 ORDER BY name LIMIT ?3;

-- name: delete_tool
DELETE FROM tool WHERE tenant = ?1 AND id = ?2;

-- name: create_block
INSERT INTO block (id, tenant, label, create_time_ns, etag, key_scope, key_value, fingerprint, changes, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, '[]', ?9) RETURNING no;

-- name: block_of_key
SELECT id, fingerprint, body FROM block WHERE tenant = ?1 AND key_value = ?2 AND key_scope = ?3;

-- name: block
SELECT body FROM block WHERE tenant = ?1 AND id = ?2;

-- name: block_changes
SELECT no, etag, changes FROM block WHERE tenant = ?1 AND id = ?2;

-- name: update_block
UPDATE block SET label = ?2, etag = ?3, changes = ?4, body = ?5 WHERE no = ?1;

-- name: delete_block
DELETE FROM block WHERE tenant = ?1 AND id = ?2 RETURNING no;

-- name: create_file
INSERT INTO file (id, tenant, create_time_ns, key_scope, key_value, fingerprint, body, data)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);

-- name: file_of_key
SELECT id, fingerprint, body FROM file WHERE tenant = ?1 AND key_value = ?2 AND key_scope = ?3;

-- name: file
SELECT body FROM file WHERE tenant = ?1 AND id = ?2;

-- name: file_data
SELECT data FROM file WHERE tenant = ?1 AND id = ?2;

-- name: list_files
-- Newest first. All, if ?2 is NULL; else those that follow (?2, ?3).
SELECT body FROM file
WHERE tenant = ?1 AND create_time_ns <= coalesce(?2, 9223372036854775807) AND (?2 IS NULL OR create_time_ns < ?2 OR id < ?3)
ORDER BY create_time_ns DESC, id DESC LIMIT ?4;

-- name: delete_file
DELETE FROM file WHERE tenant = ?1 AND id = ?2;

-- name: create_endpoint
INSERT INTO endpoint (
  id, tenant, agent_id, events, disabled, url, receiver, create_time_ns, etag, body, secrets, key_scope, key_value, fingerprint
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14);

-- name: endpoint_of_key
SELECT id, fingerprint, body, secrets FROM endpoint WHERE tenant = ?1 AND key_value = ?2 AND key_scope = ?3;

-- name: count_endpoints
SELECT count(*) FROM endpoint WHERE tenant = ?1;

-- name: endpoint
SELECT body, secrets FROM endpoint WHERE id = ?2 AND +tenant = ?1;

-- name: list_endpoints
-- Newest first. All, if ?2 is NULL; else those that follow (?2, ?3).
SELECT body FROM endpoint
WHERE tenant = ?1 AND create_time_ns <= coalesce(?2, 9223372036854775807) AND (?2 IS NULL OR create_time_ns < ?2 OR id < ?3)
ORDER BY create_time_ns DESC, id DESC LIMIT ?4;

-- name: update_endpoint
UPDATE endpoint SET
  agent_id = ?3, events = ?4, disabled = ?5, url = ?6, receiver = ?7, create_time_ns = ?8, etag = ?9, body = ?10, secrets = ?11
WHERE id = ?1 AND +tenant = ?2 AND etag = ?12;

-- name: enabled_endpoint
SELECT body FROM endpoint WHERE no = ?1 AND disabled = 0 AND url = ?2;

-- name: disable_endpoint
UPDATE endpoint SET disabled = 1, etag = ?2, body = ?3 WHERE no = ?1;

-- name: endpoint_number
SELECT no FROM endpoint WHERE id = ?2 AND +tenant = ?1;

-- name: delete_deliveries_of_endpoint
-- ?2 of them at most.
DELETE FROM delivery WHERE no IN (SELECT no FROM delivery WHERE endpoint_no = ?1 LIMIT ?2);

-- name: delete_endpoint
DELETE FROM endpoint WHERE no = ?1;

-- name: api_key_changes
-- All but `change`, in the order of `ApiKey`.
SELECT id, tenant, role, name, secret_hash, certificate, created_ns, expires_ns, revoked_ns, used_ns
FROM api_key WHERE change > ?1;

-- name: last_api_key_change
SELECT coalesce(max(change), 0) FROM api_key;

-- name: list_api_keys
-- Of tenant ?1, or all if it is NULL.
SELECT id, tenant, role, name, secret_hash, certificate, created_ns, expires_ns, revoked_ns, used_ns
FROM api_key WHERE ?1 IS NULL OR tenant = ?1 ORDER BY created_ns, id;

-- name: api_key
SELECT id, tenant, role, name, secret_hash, certificate, created_ns, expires_ns, revoked_ns, used_ns
FROM api_key WHERE id = ?1;

-- name: count_api_keys
SELECT count(*) FROM api_key WHERE revoked_ns IS NULL;

-- name: api_key_of_certificate
SELECT id FROM api_key WHERE certificate = ?1 AND revoked_ns IS NULL;

-- name: add_api_key
INSERT INTO api_key (id, tenant, role, name, secret_hash, certificate, created_ns, expires_ns, revoked_ns, used_ns, change)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, (SELECT coalesce(max(change), 0) + 1 FROM api_key));

-- name: revoke_api_key
UPDATE api_key SET revoked_ns = ?2, change = (SELECT max(change) + 1 FROM api_key) WHERE id = ?1 AND revoked_ns IS NULL;

-- name: note_api_key_used
UPDATE api_key SET used_ns = ?2 WHERE id = ?1 AND coalesce(used_ns, 0) < ?2;

-- name: note_act_at_desk
INSERT INTO audit (tenant, id, time_ns, body) VALUES (?1, ?2, ?3, ?4);

-- name: keep_out_programs_without_keys
UPDATE schema_version SET oldest = number WHERE number = ?1;

-- name: agents_behind
SELECT no, tenant, body FROM agent WHERE no > ?1 ORDER BY no LIMIT ?2;

-- name: write_agent_body
UPDATE agent SET body = ?2 WHERE no = ?1;

-- name: endpoints_behind
SELECT no, tenant, id, secrets FROM endpoint WHERE no > ?1 ORDER BY no LIMIT ?2;

-- name: write_endpoint_secrets
UPDATE endpoint SET secrets = ?2 WHERE no = ?1;

-- name: write_acts
INSERT INTO audit (tenant, id, time_ns, body) SELECT * FROM (VALUES :rows) WHERE column1 IS NOT NULL
ON CONFLICT (tenant, id) DO UPDATE SET body = excluded.body;

-- name: acts
-- Of tenant ?1, newest first: those before id ?2.
SELECT time_ns, body FROM audit WHERE tenant = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3;

-- name: next_audited_tenant
SELECT min(tenant) FROM audit WHERE tenant > ?1;

-- name: purge_acts
-- The oldest ?3 of tenant ?1, as far as they are from before ?2.
DELETE FROM audit WHERE tenant = ?1 AND time_ns < ?2 AND id IN (SELECT id FROM audit WHERE tenant = ?1 ORDER BY id LIMIT ?3);
