-- Parameters are $1, $2, ...; rows come as one array a column (`columns_of`). Names with a colon stand for one of a few texts
-- (`named`): `:lanes` for a statement of theirs about $1, `:runs` for the runs whose messages are history, each with (lane_no, seq, no,
-- last_place, and left_out where it is to be inherited), `:order` and `:behind` for a direction, `:key` for the time that
-- conversations go by, `:owner` for whose they are, `:list` for the rows of a list of messages.
-- LATERAL with a LIMIT or OFFSET 0 is for the planner, which else may walk the larger table in its order; so is a lane's number that
-- is looked up in front, instead of joined: else the runs of all lanes may be gone through for those of one.
-- Rows are locked in one order by all: replica, agents, lanes by number, endpoints by number, keys, entries of agents by number,
-- listing by tenant.

-- name: fence
SELECT no FROM replica WHERE no = $1 FOR KEY SHARE;

-- name: begin_batch
-- Is replica $1 alive (else no row), what is the time, has anybody an endpoint, which pauses are there; and the lanes $2 and those of
-- the runs $3 and of the deliveries $4, which nobody else changes from now on. And was one of the keys ($5, $6, $7) known before the
-- locks were granted: what came while this waited for them is found when the keys are written.
WITH fence AS MATERIALIZED (SELECT no, pauses FROM replica WHERE no = $1 FOR KEY SHARE)
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000 AS now_ns, EXISTS (SELECT FROM endpoint), EXISTS (
  SELECT FROM unnest($5::text[], $6::bytea[], $7::text[]) wanted (tenant, value, scope)
  JOIN run_key k ON k.tenant = wanted.tenant AND k.value = wanted.value AND k.scope = wanted.scope
), fence.pauses, l.*
FROM fence LEFT JOIN (
  SELECT no, id, tenant, last_seq, head_seq, open, owner, ready_at_ns, paused_by, held, priority, share, scheduled, barred, agent_no
  FROM lane
  WHERE no IN (
    SELECT no FROM lane WHERE id = ANY ($2::text[])
    UNION SELECT lane_no FROM run WHERE id = ANY ($3::text[])
    UNION SELECT r.lane_no FROM delivery d JOIN run r ON r.no = d.run_no WHERE d.id = ANY ($4::text[])
  )
  ORDER BY no FOR UPDATE
) l ON true;

-- name: runs_of_batch
-- Of each of the lanes $1, whose heads are at $2, the first $3 open runs; and the runs $4.
SELECT true AS queued, r.lane_no, r.no, r.id, r.tenant, r.seq, r.status, r.last_sequence, r.waits, r.start_ns, r.priority, r.share,
  r.cancel_wanted, r.cancel_kind
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) l (no, head_seq, count)
CROSS JOIN LATERAL (
  SELECT * FROM run o WHERE o.lane_no = l.no AND o.seq >= l.head_seq AND o.status <= 2 ORDER BY o.seq LIMIT l.count
) r
UNION ALL
SELECT false, lane_no, no, id, tenant, seq, status, last_sequence, waits, start_ns, priority, share, cancel_wanted, cancel_kind
FROM run WHERE id = ANY ($4::text[]);

-- name: actions_of_lanes
-- The newest ones of lanes $1, and the runs that stopped for them.
SELECT r.lane_no, r.no, r.id, r.tenant, r.seq, r.status, r.last_sequence, r.waits, r.start_ns, r.priority, r.share, r.cancel_wanted,
  r.cancel_kind,
  r.body, s.answered_by, s.continuations, s.settled,
  ARRAY(SELECT a.body FROM action a WHERE a.key >= s.lane_no << 20 AND a.key < s.lane_no + 1 << 20 ORDER BY a.key)
FROM action_set s JOIN run r ON r.no = s.run_no
WHERE s.lane_no = ANY ($1::bigint[]);

-- name: known_keys
-- Which of these (tenant, value, scope) belong to which run.
SELECT k.tenant, k.value, k.scope, r.no, r.id, r.fingerprint
FROM unnest($1::text[], $2::bytea[], $3::text[]) wanted (tenant, value, scope)
JOIN run_key k ON k.tenant = wanted.tenant AND k.value = wanted.value AND k.scope = wanted.scope
JOIN run r ON r.no = k.run_no;

-- name: repeated_run
-- The newest run of lane $1 of tenant $2 with fingerprint $3 that was accepted at $4 or later. Looks at the newest $5 of the lane.
SELECT newest.no, newest.id FROM (
  SELECT r.no, r.id, r.tenant, r.seq, r.create_time_ns, r.fingerprint
  FROM run r WHERE r.lane_no = (SELECT no FROM lane WHERE id = $1) ORDER BY r.seq DESC LIMIT $5
) newest
WHERE newest.tenant = $2 AND newest.fingerprint = $3 AND newest.create_time_ns >= $4
ORDER BY newest.seq DESC LIMIT 1;

-- name: stored_runs
-- Bodies and requests of the runs with these numbers.
SELECT r.no, r.body, request.body FROM run r JOIN run_log request ON request.key = r.no << 20 WHERE r.no = ANY ($1::bigint[]);

-- name: take_run_numbers
-- The first numbers of $1 blocks.
SELECT nextval('run_no') FROM generate_series(1, $1);

-- name: add_runs
INSERT INTO run (
  no, id, tenant, lane_no, seq, create_time_ns, status, stop_reason, background, last_sequence, cancel_wanted, cancel_kind, waits,
  start_ns, priority, share, start_before_ns, fingerprint, body
)
SELECT * FROM unnest(
  $1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::smallint[], $8::integer[], $9::boolean[],
  $10::bigint[], $11::bytea[], $12::smallint[], $13::boolean[], $14::bigint[], $15::smallint[], $16::bigint[], $17::bigint[], $18::bytea[],
  $19::bytea[]
);

-- name: change_runs
UPDATE run SET
  status = n.status, stop_reason = n.stop_reason, last_sequence = n.last_sequence, cancel_wanted = n.cancel_wanted,
  cancel_kind = n.cancel_kind, body = n.body
FROM unnest($1::bigint[], $2::smallint[], $3::integer[], $4::bigint[], $5::bytea[], $6::smallint[], $7::bytea[])
  n (no, status, stop_reason, last_sequence, cancel_wanted, cancel_kind, body)
WHERE run.no = n.no;

-- name: write_lanes
UPDATE lane SET
  last_seq = n.last_seq, head_seq = n.head_seq, open = n.open, owner = n.owner, ready_at_ns = n.ready_at_ns, paused_by = n.paused_by,
  held = n.held, priority = n.priority, share = n.share, scheduled = n.scheduled, barred = n.barred,
  last_message_ns = coalesce(n.last_message_ns, lane.last_message_ns),
  last_run_ns = coalesce(n.last_run_ns, lane.last_run_ns)
FROM unnest(
  $1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::bigint[], $6::bigint[], $7::text[], $8::boolean[], $9::smallint[],
  $10::bigint[], $11::boolean[], $12::smallint[], $13::bigint[], $14::bigint[]
)
n (no, last_seq, head_seq, open, owner, ready_at_ns, paused_by, held, priority, share, scheduled, barred, last_message_ns, last_run_ns)
WHERE lane.no = n.no;

-- name: write_keys
INSERT INTO run_key (tenant, value, scope, run_no) SELECT * FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bigint[]);

-- name: write_log
INSERT INTO run_log (key, body) SELECT * FROM unnest($1::bigint[], $2::bytea[]);

-- name: write_messages
INSERT INTO message (key, body) SELECT * FROM unnest($1::bigint[], $2::bytea[]);

-- name: number_listed
-- Numbers for $2 messages of each of tenants $1, from $3 on, or behind what the tenant has: the last one of each.
INSERT INTO listing (tenant, last_ns) SELECT tenant, $3::bigint + count FROM unnest($1::text[], $2::bigint[]) n (tenant, count)
ON CONFLICT (tenant) DO UPDATE SET last_ns = greatest(excluded.last_ns, listing.last_ns + excluded.last_ns - $3::bigint)
RETURNING tenant, last_ns;

-- name: write_listed
-- Each with its lane, and with how many of its tenant come behind it. Together with number_listed.
INSERT INTO listed (key, id, tenant, agent_no, listed_ns, types, last_place, size)
SELECT n.key, n.id, l.tenant, l.agent_no, numbered.last_ns - n.back, n.types, n.last_place, n.size
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
  n (key, id, back, types, last_place, size, lane_no)
JOIN lane l ON l.no = n.lane_no JOIN part_number_listed numbered ON numbered.tenant = l.tenant;

-- name: leave_out_of_lists
-- What the runs $1 have written from place $2 on is listed by nobody but themselves.
UPDATE listed SET listed_ns = NULL FROM unnest($1::bigint[]) n (no)
WHERE key >= (n.no << 20) + $2::bigint AND key < n.no + 1 << 20;

-- name: write_steps
-- What people think of a step is not its run's to write.
INSERT INTO step (key, id, tenant, agent_no, start_ns, model, trace_id, body)
SELECT n.key, n.id, l.tenant, l.agent_no, n.start_ns, n.model, n.trace_id, n.body
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[])
  n (key, id, start_ns, model, trace_id, body, lane_no)
JOIN lane l ON l.no = n.lane_no
ON CONFLICT (key) DO UPDATE SET
  start_ns = excluded.start_ns, model = excluded.model, trace_id = excluded.trace_id, body = excluded.body;

-- name: write_left_out
INSERT INTO left_out (run_no, what) SELECT * FROM unnest($1::bigint[], $2::smallint[]);

-- name: write_purges
INSERT INTO purge (run_no, due_ns) SELECT * FROM unnest($1::bigint[], $2::bigint[]);

-- name: mark_cancels
-- Only the note: the body of a run does not know of it.
UPDATE run SET cancel_wanted = n.reason, cancel_kind = n.kind
FROM unnest($1::bigint[], $2::bytea[], $3::smallint[]) n (no, reason, kind) WHERE run.no = n.no;

-- name: write_action_sets
INSERT INTO action_set (lane_no, run_no, answered_by, continuations, settled)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::integer[], $5::boolean[])
ON CONFLICT (lane_no) DO UPDATE SET
  run_no = excluded.run_no, answered_by = excluded.answered_by, continuations = excluded.continuations,
  settled = excluded.settled;

-- name: clear_actions
-- Of lanes $1 those behind their first $2.
DELETE FROM action USING unnest($1::bigint[], $2::bigint[]) n (lane_no, count)
WHERE key >= (n.lane_no << 20) + n.count AND key < n.lane_no + 1 << 20;

-- name: write_actions
INSERT INTO action (key, tenant, kind, expire_ns, settled, body)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::bigint[], $5::boolean[], $6::bytea[])
ON CONFLICT (key) DO UPDATE SET
  kind = excluded.kind, expire_ns = excluded.expire_ns, settled = excluded.settled, body = excluded.body;

-- name: write_last_runs
-- Of runs that have ended, each with the number of its lane, when it ended, why, and what is told of it. The last to end counts.
WITH newest AS MATERIALIZED (
  SELECT DISTINCT ON (l.agent_no) l.agent_no, n.time_ns, n.stop_reason, n.last_run
  FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bytea[]) WITH ORDINALITY n (lane_no, time_ns, stop_reason, last_run, place)
  JOIN lane l ON l.no = n.lane_no
  ORDER BY l.agent_no, n.time_ns DESC, n.place DESC
), locked AS MATERIALIZED (
  SELECT agent_no FROM agent_entry WHERE agent_no IN (SELECT agent_no FROM newest) ORDER BY agent_no FOR UPDATE
)
UPDATE agent_entry e SET last_run_time_ns = n.time_ns, last_stop_reason = n.stop_reason, last_run = n.last_run
FROM newest n JOIN locked USING (agent_no)
WHERE e.agent_no = n.agent_no AND n.time_ns >= e.last_run_time_ns;

-- name: register
-- While nobody changes pauses.
INSERT INTO replica (id, beat_at, slots, pauses) VALUES (
  $1, clock_timestamp(), $2, CASE WHEN EXISTS (SELECT FROM dispatch_pause) THEN nextval('pauses_change') ELSE 0 END
) RETURNING no;

-- name: beat
UPDATE replica SET beat_at = clock_timestamp() WHERE no = $1 RETURNING no;

-- name: remove_silent_replicas
-- Others than $1 that were not heard of for $2 seconds; none that is in a transaction, which either ends or is ended.
DELETE FROM replica WHERE no IN (
  SELECT no FROM replica WHERE no <> $1 AND beat_at < clock_timestamp() - make_interval(secs => $2)
  FOR UPDATE SKIP LOCKED
)
RETURNING no;

-- name: remove_replica
DELETE FROM replica WHERE no = $1;

-- name: lock_lanes_of_replicas
SELECT count(*) FROM (SELECT FROM lane WHERE owner = ANY ($1::bigint[]) ORDER BY no FOR UPDATE) locked;

-- name: free_lanes
-- What replicas $1 held waits from now on, or until its head may start.
WITH clock AS MATERIALIZED (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000 AS now_ns)
UPDATE lane SET owner = NULL, (ready_at_ns, scheduled, held) = (
  SELECT
    greatest(clock.now_ns, max(r.start_ns)), coalesce(max(r.start_ns) > clock.now_ns, false),
    lane.paused_by IS NOT NULL AND coalesce(bool_or(r.waits OR coalesce(r.start_ns > clock.now_ns, false)), false)
  FROM clock LEFT JOIN run r
    ON r.lane_no = lane.no AND r.seq = lane.head_seq AND r.status = 1 AND r.cancel_wanted IS NULL
  GROUP BY clock.now_ns
)
WHERE owner = ANY ($1::bigint[]);

-- name: due_lanes
-- The first $1 whose heads may start by now; none that another one is at.
UPDATE lane SET scheduled = false, held = paused_by IS NOT NULL AND EXISTS (
  SELECT FROM run r
  WHERE r.lane_no = lane.no AND r.seq = lane.head_seq AND r.waits AND r.status = 1 AND r.cancel_wanted IS NULL
)
WHERE no = ANY (ARRAY(
  SELECT no FROM lane WHERE scheduled AND ready_at_ns <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000
  ORDER BY ready_at_ns LIMIT $1 FOR UPDATE SKIP LOCKED
));

-- name: next_start
-- Nanoseconds until it.
SELECT ready_at_ns - (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000 FROM lane
WHERE scheduled ORDER BY ready_at_ns LIMIT 1;

-- name: waiting_shares
-- Of which lanes wait: the first $3 behind ($1, $2), each with its tenant, none of tenants $4. Goes from share to share, and past such a
-- tenant at once, so it costs what it gives.
WITH RECURSIVE behind (tenant, share, place) AS (
  SELECT $1::text COLLATE "C", $2::bigint, 0
  UNION ALL
  SELECT n.tenant, n.share, behind.place + 1 FROM behind CROSS JOIN LATERAL (
    SELECT l.tenant, l.share FROM lane l
    WHERE l.owner IS NULL AND l.open > 0 AND NOT l.held AND NOT l.scheduled AND l.barred = 0
      AND (l.tenant, l.share) > (
        behind.tenant, CASE WHEN behind.tenant = ANY ($4::text[]) THEN 9223372036854775807 ELSE behind.share END
      )
    ORDER BY l.tenant, l.share LIMIT 1
  ) n
)
SELECT tenant, share FROM behind WHERE place > 0 AND tenant <> ALL ($4::text[]) LIMIT $3::bigint;

-- name: waiting_lanes
-- Of each of the shares $2 of tenants $1 the first $3 lanes with runs and no holder, in order; none whose head waits for answers or its
-- time, and none that another one is at. Each with the place of its share, and with whether its head is neither begun nor to be cancelled.
SELECT s.place, l.no, s.tenant, s.share, l.agent_no, EXISTS (
  SELECT FROM run r WHERE r.lane_no = l.no AND r.seq = l.head_seq AND r.status = 1 AND r.cancel_wanted IS NULL
) AS is_idle
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY s (tenant, share, depth, place) CROSS JOIN LATERAL (
  SELECT no, agent_no, head_seq, ready_at_ns + priority * 60000000000 AS rank_ns FROM lane
  WHERE owner IS NULL AND open > 0 AND NOT held AND NOT scheduled AND barred = 0 AND tenant = s.tenant AND share = s.share
  ORDER BY ready_at_ns + priority * 60000000000 LIMIT s.depth FOR UPDATE SKIP LOCKED
) l
ORDER BY s.place, l.rank_ns;

-- name: take_lanes
UPDATE lane SET owner = $1 WHERE no = ANY ($2::bigint[]);

-- name: leases
-- How many there are, by tenant and agent.
SELECT tenant, agent_no, count(*) FROM lane WHERE owner IS NOT NULL GROUP BY tenant, agent_no;

-- name: bar_lanes
UPDATE lane SET barred = n.barred FROM unnest($1::bigint[], $2::smallint[]) n (no, barred) WHERE lane.no = n.no;

-- name: free_lanes_of_agents
-- Of each of agents $1 the first $2 lanes that are barred by its cap, and that nobody is at: those may be looked at again.
UPDATE lane SET barred = 0 WHERE no = ANY (ARRAY(
  SELECT l.no FROM unnest($1::bigint[], $2::bigint[]) n (agent_no, count) CROSS JOIN LATERAL (
    SELECT no FROM lane WHERE barred = 2 AND agent_no = n.agent_no
    ORDER BY ready_at_ns + priority * 60000000000 LIMIT n.count FOR UPDATE SKIP LOCKED
  ) l
));

-- name: barred_agents
-- With lanes that are barred by their caps: the first $2 behind $1.
WITH RECURSIVE behind (agent_no) AS (
  SELECT $1::bigint
  UNION ALL
  SELECT (
    SELECT l.agent_no FROM lane l WHERE l.barred = 2 AND l.agent_no > behind.agent_no ORDER BY l.agent_no LIMIT 1
  ) FROM behind WHERE behind.agent_no IS NOT NULL
)
SELECT agent_no FROM behind WHERE agent_no IS NOT NULL OFFSET 1 LIMIT $2::bigint;

-- name: free_capped_lanes
-- The first $1 of all that are barred by caps, and that nobody is at.
UPDATE lane SET barred = 0 WHERE no = ANY (ARRAY(SELECT no FROM lane WHERE barred = 2 LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING no;

-- name: fence_and_pauses
SELECT pauses FROM replica WHERE no = $1 FOR KEY SHARE;

-- name: lock_replicas
-- All of them, once no transaction of theirs is under way.
SELECT no FROM replica ORDER BY no FOR UPDATE;

-- name: tell_of_pauses
UPDATE replica SET pauses = changed.number
FROM (SELECT CASE WHEN EXISTS (SELECT FROM dispatch_pause) THEN nextval('pauses_change') ELSE 0 END AS number) changed;

-- name: dispatch_pauses
-- Those that count, and those that are lifted.
SELECT tenant, agent_no, share, lifted FROM dispatch_pause;

-- name: list_dispatch_pauses
-- Of tenant $1 those that count, oldest first.
SELECT body FROM dispatch_pause WHERE tenant = $1 AND NOT lifted ORDER BY no;

-- name: dispatch_pause
-- Of tenant $1, agent $2 and share $3, if it counts.
SELECT body FROM dispatch_pause WHERE tenant = $1 AND agent_no = $2 AND share = $3 AND NOT lifted;

-- name: count_dispatch_pauses
SELECT count(*) FROM dispatch_pause WHERE tenant = $1 AND NOT lifted;

-- name: write_dispatch_pause
INSERT INTO dispatch_pause (tenant, agent_no, share, body) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, agent_no, share) DO UPDATE SET lifted = false, body = excluded.body;

-- name: lift_dispatch_pause
UPDATE dispatch_pause SET lifted = true WHERE tenant = $1 AND agent_no = $2 AND share = $3 AND NOT lifted RETURNING no;

-- name: delete_lifted_pause
DELETE FROM dispatch_pause WHERE tenant = $1 AND agent_no = $2 AND share = $3 AND lifted;

-- name: delete_pauses_of_agent
DELETE FROM dispatch_pause WHERE agent_no = $1;

-- name: pause_lanes
-- Bar the first $4 lanes of tenant $1, agent $2 (0: any) and share $3 (-1: any) that wait, but for those whose head goes on or is to be
-- cancelled, and for those that another one is at. None if the pause of these does not count.
UPDATE lane SET barred = 1 WHERE no = ANY (ARRAY(
  SELECT l.no FROM lane l
  WHERE l.owner IS NULL AND l.open > 0 AND NOT l.held AND NOT l.scheduled AND :waiting
    AND l.tenant = $1 AND ($2::bigint = 0 OR l.agent_no = $2) AND ($3::bigint = -1 OR l.share = $3)
    AND EXISTS (SELECT FROM run r WHERE r.lane_no = l.no AND r.seq = l.head_seq AND r.status = 1 AND r.cancel_wanted IS NULL)
    AND EXISTS (SELECT FROM dispatch_pause p WHERE p.tenant = $1 AND p.agent_no = $2 AND p.share = $3 AND NOT p.lifted)
  LIMIT $4 FOR UPDATE OF l SKIP LOCKED
)) RETURNING no;

-- name: unpause_lanes
-- The first $4 lanes of tenant $1, agent $2 (0: any) and share $3 (-1: any) that are barred by a pause, but for those for which another
-- one counts.
WITH found AS MATERIALIZED (
  SELECT l.no FROM lane l
  WHERE l.barred = 1 AND :of_agent AND l.tenant = $1 AND ($3::bigint = -1 OR l.share = $3) AND NOT EXISTS (
    SELECT FROM dispatch_pause p
    WHERE NOT p.lifted AND p.tenant = l.tenant AND (p.agent_no, p.share) IN ((l.agent_no, -1), (0, l.share), (0, -1))
  )
  ORDER BY l.agent_no, l.ready_at_ns + l.priority * 60000000000 LIMIT $4
), locked AS MATERIALIZED (
  SELECT l.no FROM lane l WHERE l.no IN (SELECT no FROM found) AND l.barred = 1 ORDER BY l.no FOR UPDATE
), written AS (
  UPDATE lane SET barred = 0 WHERE no IN (SELECT no FROM locked)
)
SELECT count(*) FROM found;

-- name: heads
-- Of lanes $1, in that order.
SELECT l.id, l.paused_by, r.tenant, r.seq, r.cancel_wanted, r.cancel_kind, r.body, request.body
FROM unnest($1::bigint[]) WITH ORDINALITY wanted (no, place)
JOIN lane l USING (no)
CROSS JOIN LATERAL (
  SELECT * FROM run o WHERE o.lane_no = l.no AND o.seq >= l.head_seq AND o.status <= 2 ORDER BY o.seq LIMIT 1
) r
JOIN run_log request ON request.key = r.no << 20
ORDER BY wanted.place;

-- name: runs
SELECT tenant, id, body FROM run WHERE id = ANY ($1::text[]);

-- name: run_marks
SELECT id, xmin::text FROM run WHERE id = ANY ($1::text[]) AND status <> 9;

-- name: wanted_cancels
-- In lanes of replica $1. Few are on the way at any time, and they are in an index of their own.
SELECT r.id, r.cancel_wanted, r.cancel_kind FROM run r
CROSS JOIN LATERAL (SELECT owner FROM lane WHERE no = r.lane_no OFFSET 0) l
WHERE r.cancel_wanted IS NOT NULL AND r.status <= 2 AND l.owner = $1;

-- name: queued
SELECT
  (SELECT count(*) FROM run o WHERE o.lane_no = r.lane_no AND o.seq >= l.head_seq AND o.seq < r.seq AND o.status <= 2),
  (SELECT o.id FROM run o WHERE o.lane_no = r.lane_no AND o.seq >= l.head_seq AND o.seq < r.seq AND o.status <= 2 ORDER BY o.seq LIMIT 1),
  CASE WHEN l.held THEN l.paused_by ELSE '' END,
  r.start_ns,
  (
    SELECT p.body FROM dispatch_pause p
    WHERE NOT p.lifted AND p.tenant = l.tenant AND (p.agent_no, p.share) IN ((l.agent_no, -1), (0, r.share), (0, -1))
      AND l.owner IS NULL AND r.seq = l.head_seq AND r.status = 1 AND r.cancel_wanted IS NULL
    ORDER BY p.no LIMIT 1
  ),
  CASE WHEN $2::boolean AND l.owner IS NULL AND r.seq = l.head_seq THEN ARRAY[
    (SELECT count(*) FROM lane o WHERE o.owner IS NOT NULL AND o.agent_no = l.agent_no),
    (SELECT count(*) FROM lane o WHERE o.owner IS NOT NULL AND o.tenant = l.tenant)
  ] END,
  l.tenant
FROM run r JOIN lane l ON l.no = r.lane_no
WHERE r.id = $1 AND r.status <= 2;

-- name: standing
-- Of run $2 of tenant $1, with the numbers of its lane.
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000, r.body, l.no, l.agent_no, r.seq, l.share, l.priority, l.ready_at_ns, r.start_before_ns, l.owner,
  l.owner IS NULL AND l.open > 0 AND NOT l.held AND NOT l.scheduled
FROM run r JOIN lane l ON l.no = r.lane_no
WHERE r.id = $2 AND r.tenant = $1 AND r.status <> 9;

-- name: in_front
-- The first $3 open runs of lane $1 before $2.
SELECT o.body FROM lane l JOIN run o ON o.lane_no = l.no AND o.seq >= l.head_seq AND o.seq < $2 AND o.status <= 2
WHERE l.no = $1
ORDER BY o.seq LIMIT $3::bigint;

-- name: run_body
SELECT body FROM run WHERE id = $1;

-- name: lanes_ahead
-- How many lanes of share $2 of tenant $1 go before rank $3, up to $4.
SELECT count(*) FROM (
  SELECT FROM lane
  WHERE owner IS NULL AND open > 0 AND NOT held AND NOT scheduled AND barred = 0
    AND tenant = $1 AND share = $2 AND ready_at_ns + priority * 60000000000 < $3
  LIMIT $4::bigint
) ahead;

-- name: slot_holders
-- Runs of tenant $1, of agent $2 unless it is NULL, in lanes that are held, $3 of them.
SELECT r.id FROM replica p
JOIN lane l ON l.owner = p.no
JOIN run r ON r.lane_no = l.no AND r.seq = l.head_seq AND r.status <= 2
WHERE r.tenant = $1 AND ($2::bigint IS NULL OR l.agent_no = $2)
LIMIT $3::bigint;

-- name: replicas
-- The first $1, with the number of each and how many lanes it holds.
SELECT p.no, p.id, (extract(epoch FROM p.beat_at) * 1000000)::bigint * 1000, p.slots, (SELECT count(*) FROM lane l WHERE l.owner = p.no)
FROM replica p ORDER BY p.no LIMIT $1::bigint;

-- name: now_ns
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000;

-- name: count_open
-- How many open runs tenant $1 has, up to $2 or a little more.
SELECT coalesce(sum(open), 0) FROM (SELECT open FROM lane WHERE open > 0 AND tenant = $1 LIMIT $2::bigint) l;

-- name: stored
-- Of tenant $1: bytes of messages that were listed after $2, bytes of all files, when the last of these messages was listed.
SELECT coalesce(sum(size), 0)::bigint, (SELECT coalesce(sum(length(data)), 0)::bigint FROM file WHERE tenant = $1), coalesce(max(listed_ns), 0)::bigint
FROM listed WHERE tenant = $1 AND listed_ns > $2;

-- name: count_queue
-- Of the first $3 open runs of tenant $1 how many there are by share and priority; $4 groups at most, of shares $2 unless they are NULL.
-- $5 is now, $6 and $7 are the caps of an agent and of a tenant.
WITH at_work AS MATERIALIZED (
  SELECT agent_no, count(*) AS leases FROM lane WHERE owner IS NOT NULL AND tenant = $1 GROUP BY agent_no
), capped AS MATERIALIZED (
  SELECT array_agg(agent_no) AS agents FROM at_work WHERE $6::bigint > 0 AND leases >= $6
), tenant_full AS MATERIALIZED (
  SELECT $7::bigint > 0 AND coalesce(sum(leases), 0) >= $7 AS yes FROM at_work
)
SELECT r.body, g.* FROM (
  SELECT * FROM (
    SELECT min(o.no) AS no, o.share, o.priority,
      count(*) FILTER (WHERE o.state = 1), count(*) FILTER (WHERE o.state = 2), count(*) FILTER (WHERE o.state = 3),
      count(*) FILTER (WHERE o.state = 4), min(o.ready_at_ns) FILTER (WHERE o.state = 1), count(*) AS runs
    FROM (
      SELECT r.no, r.share, r.priority, l.ready_at_ns, CASE
        WHEN r.seq <> l.head_seq THEN 2
        WHEN l.owner IS NOT NULL THEN 4
        WHEN r.start_ns > $5 THEN 3
        WHEN l.held OR (SELECT yes FROM tenant_full) OR l.agent_no = ANY ((SELECT agents FROM capped)::bigint[]) THEN 2
        WHEN r.status = 1 AND r.cancel_wanted IS NULL AND EXISTS (
          SELECT FROM dispatch_pause p
          WHERE NOT p.lifted AND p.tenant = l.tenant AND (p.agent_no, p.share) IN ((l.agent_no, -1), (0, r.share), (0, -1))
        ) THEN 2
        ELSE 1 END AS state
      FROM lane l JOIN run r ON r.lane_no = l.no AND r.seq >= l.head_seq AND r.status <= 2
      WHERE l.open > 0 AND l.tenant = $1
      LIMIT $3::bigint
    ) o
    GROUP BY o.share, o.priority
  ) every (no, share, priority, queued, blocked, scheduled, running, ready_ns, runs)
  WHERE $2::bigint[] IS NULL OR share = ANY ($2::bigint[])
  ORDER BY runs DESC, share, priority LIMIT $4::bigint
) g JOIN run r USING (no)
ORDER BY g.runs DESC, g.share, g.priority;

-- name: queue_depths
-- Of each tenant of $1 that has open runs, and of all others under '', what its lanes wait for; $2 is now.
SELECT told, count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 3),
  count(*) FILTER (WHERE state = 4), sum(open - 1)::bigint, coalesce(max($2::bigint - ready_at_ns) FILTER (WHERE state = 1), 0)::bigint
FROM (
  SELECT CASE WHEN tenant = ANY ($1::text[]) THEN tenant ELSE '' END AS told, open, ready_at_ns, CASE
    WHEN owner IS NOT NULL THEN 4
    WHEN held THEN 3
    WHEN scheduled AND ready_at_ns > $2 THEN 2
    WHEN barred > 0 OR EXISTS (
      SELECT FROM dispatch_pause p
      WHERE NOT p.lifted AND p.tenant = lane.tenant AND (p.agent_no, p.share) IN ((lane.agent_no, -1), (0, lane.share), (0, -1))
    ) THEN 3
    ELSE 1 END AS state
  FROM lane WHERE open > 0
) o
GROUP BY told;

-- name: first_steps
-- The runs of tenant $1 whose first step is among its newest $2, each with the run before it in its lane.
SELECT r.body, r.start_ns, (
  SELECT b.body FROM run b WHERE b.lane_no = r.lane_no AND b.seq < r.seq AND b.status <> 9 ORDER BY b.seq DESC LIMIT 1
)
FROM (SELECT key, start_ns FROM step WHERE tenant = $1 ORDER BY start_ns DESC, key DESC LIMIT $2::bigint) s
JOIN run r ON r.no = s.key >> 20
WHERE s.key & 1048575 = 0 AND r.status <> 9
ORDER BY s.start_ns DESC;

-- name: events
-- Of run $1 after $2: $3 at most, and no more once $4 bytes are there.
SELECT e.body FROM (
  SELECT key, sum(size) OVER (ORDER BY key ROWS UNBOUNDED PRECEDING) - size AS before FROM (
    SELECT e.key, e.size FROM run r CROSS JOIN LATERAL (
      SELECT key, length(body) AS size FROM run_log
      WHERE key > (r.no << 20) + $2::bigint AND key < r.no + 1 << 20 ORDER BY key LIMIT $3
    ) e
    WHERE r.id = $1
  ) first
) page JOIN run_log e ON e.key = page.key
WHERE page.before < $4
ORDER BY page.key;

-- name: run_messages
-- Of run $1 after position $2: $3 at most.
SELECT m.body FROM run r CROSS JOIN LATERAL (
  SELECT key, body FROM message
  WHERE key >= (r.no << 20) + greatest(0, $2::bigint + 1 - (r.seq << 20)) AND key < r.no + 1 << 20 ORDER BY key LIMIT $3
) m
WHERE r.id = $1
ORDER BY m.key;

-- name: run_request
SELECT l.body FROM run r JOIN run_log l ON l.key = r.no << 20 WHERE r.id = $2 AND r.tenant = $1;

-- name: overdue_runs
-- Not begun though they were to be before $1.
SELECT tenant, id FROM run WHERE start_before_ns < $1 AND status = 1 ORDER BY start_before_ns LIMIT $2;

-- name: history
-- Of lane $1 before position $2, newest first: $3 at most, each with its position and the bytes up to and with it. Without
-- body where these are more than $4. And does the lane inherit any.
SELECT page.position, page.total, CASE WHEN page.total <= $4 THEN m.body END AS body,
  EXISTS (SELECT FROM lane l JOIN inherited i ON i.lane_no = l.no WHERE l.id = $1) AS inherits
FROM (
  SELECT key, position, (sum(size) OVER (ORDER BY position DESC ROWS UNBOUNDED PRECEDING))::bigint AS total FROM (
    SELECT m.key, (r.seq << 20) + (m.key & 1048575) AS position, m.size
    FROM (:runs) r
    CROSS JOIN LATERAL (
      SELECT key, length(body) AS size FROM message WHERE key >= r.no << 20 AND key <= (r.no << 20) + r.last_place OFFSET 0
    ) m
    WHERE r.lane_no = (SELECT no FROM lane WHERE id = $1) AND r.seq <= $2::bigint >> 20 AND (r.seq << 20) + (m.key & 1048575) < $2::bigint
    ORDER BY r.seq DESC, m.key DESC LIMIT $3
  ) newest
) page JOIN message m ON m.key = page.key
ORDER BY page.position DESC;

-- name: messages
-- Of lane $2 of tenant $1 behind position $3: $4 at most, and no more once $5 bytes are there.
SELECT m.body FROM (
  SELECT key, position, sum(size) OVER (ORDER BY position :order ROWS UNBOUNDED PRECEDING) - size AS before FROM (
    SELECT m.key, (r.seq << 20) + (m.key & 1048575) AS position, m.size
    FROM (:runs) r
    CROSS JOIN LATERAL (
      SELECT key, length(body) AS size FROM message WHERE key >= r.no << 20 AND key <= (r.no << 20) + r.last_place OFFSET 0
    ) m
    WHERE r.lane_no = (SELECT no FROM lane WHERE id = $2 AND tenant = $1) AND r.seq :behind= $3::bigint >> 20
      AND (r.seq << 20) + (m.key & 1048575) :behind $3::bigint
    ORDER BY r.seq :order, m.key :order LIMIT $4
  ) first
) page JOIN message m ON m.key = page.key
WHERE page.before < $5
ORDER BY page.position :order;

-- name: message_position
-- Of the last entry of message $3, if it is in lane $2 of tenant $1.
SELECT (r.seq << 20) + m.last_place
FROM listed m
JOIN (:runs) r ON r.no = m.key >> 20 AND m.last_place <= r.last_place
JOIN lane l ON l.no = r.lane_no
WHERE m.id = $3 AND l.id = $2 AND l.tenant = $1
ORDER BY m.key DESC LIMIT 1;

-- name: list_messages
-- The entries of a list with their places: those of types $1 between the places $3 and $4, $5 at most, and no more once $2 bytes are
-- there.
SELECT page.place, m.body
FROM (
  SELECT key, place, last_place, sum(size) OVER (ORDER BY place :order ROWS UNBOUNDED PRECEDING) - size AS before FROM (:list) first
) page CROSS JOIN LATERAL (
  SELECT key, body FROM message WHERE key >= page.key AND key <= (page.key >> 20 << 20) + page.last_place OFFSET 0
) m
WHERE page.before < $2
ORDER BY page.place :order, m.key;

-- name: list_of_run
-- Of run $7 of tenant $6.
SELECT m.key, m.key & 1048575 AS place, m.last_place, m.size
FROM run r CROSS JOIN LATERAL (
  SELECT * FROM listed
  WHERE key > (r.no << 20) + greatest($3::bigint, -1) AND key < (r.no << 20) + least($4::bigint, 1048576)
    AND types & $1::bigint <> 0
  ORDER BY key :order LIMIT $5
) m
WHERE r.id = $7 AND r.tenant = $6

-- name: list_of_lane
-- Of lane $7 of tenant $6.
SELECT m.key, (r.seq << 20) + (m.key & 1048575) AS place, m.last_place, m.size
FROM (:runs) r
CROSS JOIN LATERAL (
  SELECT key, types, last_place, size FROM listed WHERE key >= r.no << 20 AND key <= (r.no << 20) + r.last_place OFFSET 0
) m
WHERE r.lane_no = (SELECT no FROM lane WHERE id = $7 AND tenant = $6) AND r.seq >= $3::bigint >> 20 AND r.seq <= $4::bigint >> 20
  AND (r.seq << 20) + (m.key & 1048575) > $3::bigint AND (r.seq << 20) + (m.key & 1048575) < $4::bigint
  AND m.types & $1::bigint <> 0
ORDER BY r.seq :order, m.key :order LIMIT $5

-- name: list_of_agent
-- Of agent $7 of tenant $6.
SELECT key, listed_ns AS place, last_place, size FROM listed
WHERE agent_no = (SELECT no FROM agent WHERE tenant = $6 AND id = $7)
  AND listed_ns > $3::bigint AND listed_ns < $4::bigint AND types & $1::bigint <> 0
ORDER BY listed_ns :order LIMIT $5

-- name: list_of_tenant
-- Of tenant $6; $7 does not matter.
SELECT key, listed_ns AS place, last_place, size FROM listed
WHERE tenant = $6 AND $7::text IS NULL AND listed_ns > $3::bigint AND listed_ns < $4::bigint AND types & $1::bigint <> 0
ORDER BY listed_ns :order LIMIT $5

-- name: place_in_run
-- Of message $1 in run $3 of tenant $2.
SELECT m.key & 1048575 FROM listed m JOIN run r ON r.no = m.key >> 20
WHERE m.id = $1 AND r.tenant = $2 AND r.id = $3;

-- name: place_in_lane
-- Of message $1 in lane $3 of tenant $2.
SELECT (r.seq << 20) + (m.key & 1048575)
FROM listed m
JOIN (:runs) r ON r.no = m.key >> 20 AND m.key & 1048575 <= r.last_place
JOIN lane l ON l.no = r.lane_no
WHERE m.id = $1 AND l.tenant = $2 AND l.id = $3;

-- name: place_in_agent
-- Of message $1 among those of agent $3 of tenant $2.
SELECT listed_ns FROM listed
WHERE id = $1 AND agent_no = (SELECT no FROM agent WHERE tenant = $2 AND id = $3) AND listed_ns IS NOT NULL;

-- name: place_in_tenant
-- Of message $1 among those of tenant $2; $3 does not matter.
SELECT listed_ns FROM listed WHERE id = $1 AND tenant = $2 AND $3::text IS NULL AND listed_ns IS NOT NULL;

-- name: entries_of_message
-- Of message $2 of tenant $1, if it is part of a conversation.
SELECT e.body FROM listed m CROSS JOIN LATERAL (
  SELECT key, body FROM message WHERE key >= m.key AND key <= (m.key >> 20 << 20) + m.last_place OFFSET 0
) e
WHERE m.id = $2 AND m.tenant = $1 AND m.listed_ns IS NOT NULL
ORDER BY e.key;

-- name: step_place
SELECT start_ns, key FROM step WHERE id = $2 AND tenant = $1;

-- name: set_feedback
UPDATE step SET feedback = $3, tags = coalesce($4::bytea[], tags) WHERE id = $2 AND tenant = $1 RETURNING body, feedback, tags;

-- name: step_of_id
SELECT body, feedback, tags FROM step WHERE id = $2 AND tenant = $1;

-- name: steps
-- Of run $1.
SELECT s.body, s.feedback, s.tags FROM run r CROSS JOIN LATERAL (
  SELECT key, body, feedback, tags FROM step WHERE key >= r.no << 20 AND key < r.no + 1 << 20 OFFSET 0
) s
WHERE r.id = $1 ORDER BY s.key;

-- name: newest_actions
-- Of lane $2 of tenant $1.
SELECT r.id, s.answered_by, s.settled,
  ARRAY(SELECT a.body FROM action a WHERE a.key >= l.no << 20 AND a.key < l.no + 1 << 20 ORDER BY a.key)
FROM lane l JOIN action_set s ON s.lane_no = l.no JOIN run r ON r.no = s.run_no
WHERE l.id = $2 AND l.tenant = $1;

-- name: expired_actions
-- The runs that stopped for them. No run is at work in their lanes, which would settle them.
SELECT l.tenant, l.id, l.paused_by
FROM action a JOIN lane l ON l.no = a.key >> 20
WHERE NOT a.settled AND a.expire_ns < $1 AND (l.open = 0 OR l.held)
GROUP BY l.no ORDER BY min(a.expire_ns) LIMIT $2;

-- name: create_agent
INSERT INTO agent (id, tenant, create_time_ns, etag, key_scope, key_value, fingerprint, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING no;

-- name: create_lane
INSERT INTO lane (id, tenant, agent_no) VALUES ($1, $2, $3) RETURNING no;

-- name: agent_of_key
SELECT id, fingerprint, body FROM agent WHERE tenant = $1 AND key_value = $2 AND key_scope = $3;

-- name: agents
SELECT tenant, id, body FROM agent WHERE id = ANY ($1::text[]);

-- name: update_agent
UPDATE agent SET etag = $4, body = $5 WHERE tenant = $1 AND id = $2 AND etag = $3 RETURNING no;

-- name: agent_to_delete
SELECT no FROM agent WHERE tenant = $1 AND id = $2 FOR UPDATE;

-- name: agent_to_keep
-- It is not deleted before this transaction ends.
SELECT no FROM agent WHERE tenant = $1 AND id = $2 FOR KEY SHARE;

-- name: delete_agent
DELETE FROM agent WHERE no = $1;

-- name: create_agent_entry
INSERT INTO agent_entry (agent_no, id, tenant, name, name_folded, create_time_ns, update_time_ns) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: update_agent_entry
UPDATE agent_entry SET name = $2, name_folded = $3, update_time_ns = $4 WHERE agent_no = $1;

-- name: delete_agent_entry
DELETE FROM agent_entry WHERE agent_no = $1;

-- name: write_tags
INSERT INTO :table (tenant, tag, owner_no, tag_folded) SELECT $1, tag, $2, folded FROM unnest($3::bytea[], $4::bytea[]) n (tag, folded);

-- name: delete_tags
DELETE FROM :table WHERE owner_no = $1;

-- name: list_tags
-- Tags of tenant $1 with $3 in them, behind $2: from each one to the next, however many have it.
WITH RECURSIVE found (tag, tag_folded) AS (
  (
    SELECT tag, tag_folded FROM (
      (SELECT tag, tag_folded FROM agent_tag WHERE tenant = $1 AND :first ORDER BY tag :order LIMIT 1)
      UNION ALL (SELECT tag, tag_folded FROM block_tag WHERE tenant = $1 AND :first ORDER BY tag :order LIMIT 1)
    ) either ORDER BY tag :order LIMIT 1
  )
  UNION ALL
  SELECT next.tag, next.tag_folded FROM found CROSS JOIN LATERAL (
    SELECT tag, tag_folded FROM (
      (SELECT tag, tag_folded FROM agent_tag WHERE tenant = $1 AND tag :behind found.tag ORDER BY tag :order LIMIT 1)
      UNION ALL (SELECT tag, tag_folded FROM block_tag WHERE tenant = $1 AND tag :behind found.tag ORDER BY tag :order LIMIT 1)
    ) either ORDER BY tag :order LIMIT 1
  ) next
)
SELECT tag FROM found WHERE position($3::bytea IN tag_folded) > 0 LIMIT $4;

-- name: lane_to_fork
-- It is not deleted before this transaction ends.
SELECT no FROM lane WHERE tenant = $1 AND id = $2 AND agent_no = $3 FOR KEY SHARE;

-- name: create_conversation
INSERT INTO conversation (no, id, tenant, agent_no, create_time_ns, etag, key_scope, key_value, fingerprint, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: note_last_message
UPDATE lane SET last_message_ns = $2 WHERE no = $1;

-- name: inherit
-- Lane $1 begins with what lane $2 has up to position $3.
INSERT INTO inherited (lane_no, seq, run_no, last_place, left_out)
SELECT $1, seq, no, last_key & 1048575, left_out FROM (
  SELECT r.seq, r.no, r.left_out, (
    SELECT max(m.key) FROM message m
    WHERE m.key >= r.no << 20
      AND m.key <= (r.no << 20) + CASE WHEN r.seq = $3::bigint >> 20 THEN least(r.last_place, $3::bigint & 1048575) ELSE r.last_place END
  ) AS last_key
  FROM (:runs) r WHERE r.lane_no = $2 AND r.seq <= $3::bigint >> 20
) taken WHERE last_key IS NOT NULL;

-- name: begin_behind_inherited
-- The first run of lane $1 comes behind all that it has inherited.
UPDATE lane SET (last_seq, head_seq) = (SELECT coalesce(max(seq), 0), coalesce(max(seq), 0) + 1 FROM inherited WHERE lane_no = $1)
WHERE no = $1;

-- name: conversation_of_key
SELECT id, fingerprint FROM conversation WHERE tenant = $1 AND key_value = $2 AND key_scope = $3;

-- name: conversation
SELECT no, body FROM conversation WHERE tenant = $1 AND id = $2;

-- name: list_conversations
-- Of tenant $1, and of agent $2 if that is one, those behind ($3, $4) in the direction. `:key` is the time they go by.
SELECT c.no, :key, c.id, c.body FROM conversation c JOIN lane l ON l.no = c.no
WHERE :owner AND (:key, c.id) :behind ($3::bigint, $4::text)
ORDER BY :key :order, c.id :order LIMIT $5;

-- name: conversation_key
SELECT :key FROM conversation c JOIN lane l ON l.no = c.no WHERE c.tenant = $1 AND c.id = $2;

-- name: conversations_now
-- What lanes $1 are doing: the run under way, how many have not ended, the newest message, how many answers it waits for. Only
-- the head can be under way.
SELECT
  l.no,
  (SELECT r.id FROM run r WHERE r.lane_no = l.no AND r.seq = l.head_seq AND r.status = 2),
  l.open,
  (
    SELECT m.body FROM message m WHERE m.key = coalesce(
      (
        SELECT m.key FROM (:runs) r
        CROSS JOIN LATERAL (SELECT key FROM message WHERE key >= r.no << 20 AND key <= (r.no << 20) + r.last_place OFFSET 0) m
        WHERE r.lane_no = l.no ORDER BY r.seq DESC, m.key DESC LIMIT 1
      ),
      (SELECT (i.run_no << 20) + i.last_place FROM inherited i WHERE i.lane_no = l.no ORDER BY i.seq DESC LIMIT 1)
    )
  ),
  CASE WHEN l.paused_by IS NOT NULL AND (l.open = 0 OR l.held) THEN (
    SELECT count(*) FROM action a WHERE a.key >= l.no << 20 AND a.key < l.no + 1 << 20
  ) ELSE 0 END
FROM lane l WHERE l.no = ANY ($1::bigint[]);

-- name: update_conversation
UPDATE conversation SET etag = $4, body = $5 WHERE tenant = $1 AND id = $2 AND etag = $3 RETURNING no;

-- name: conversation_to_delete
-- Locks its agent, so that of those that share messages, all of one agent, one goes after the other and the last takes them along.
SELECT c.no FROM agent a JOIN conversation c ON c.agent_no = a.no WHERE c.tenant = $1 AND c.id = $2 FOR NO KEY UPDATE OF a;

-- name: lock_lanes
SELECT count(*) FROM (SELECT FROM lane WHERE no IN (:lanes) ORDER BY no FOR UPDATE) locked;

-- name: open_runs
SELECT coalesce(sum(open), 0) FROM lane WHERE no IN (:lanes);

-- name: delete_keys
DELETE FROM run_key WHERE run_no IN (SELECT no FROM run WHERE lane_no IN (:lanes));

-- name: delete_log
DELETE FROM run_log WHERE key IN (
  SELECT o.key FROM run r
  CROSS JOIN LATERAL (SELECT key FROM run_log WHERE key >= r.no << 20 AND key < r.no + 1 << 20 OFFSET 0) o
  WHERE r.lane_no IN (:lanes)
);

-- name: delete_messages
-- Those that no other conversation has inherited.
WITH gone AS (
  DELETE FROM message WHERE key IN (
    SELECT m.key FROM run r
    CROSS JOIN LATERAL (SELECT key FROM message WHERE key >= r.no << 20 AND key < r.no + 1 << 20 OFFSET 0) m
    WHERE r.lane_no IN (:lanes) AND NOT EXISTS (
      SELECT FROM inherited o WHERE o.run_no = r.no AND o.last_place >= m.key & 1048575 AND o.lane_no NOT IN (:lanes) OFFSET 0
    )
  )
  RETURNING key
)
DELETE FROM listed USING gone WHERE listed.key = gone.key;

-- name: delete_inherited_messages
-- Those that no other conversation has inherited, and whose own conversation is gone.
WITH gone AS (
  DELETE FROM message WHERE key IN (
    SELECT m.key FROM inherited i
    CROSS JOIN LATERAL (SELECT key FROM message WHERE key >= i.run_no << 20 AND key <= (i.run_no << 20) + i.last_place OFFSET 0) m
    WHERE i.lane_no IN (:lanes) AND NOT EXISTS (SELECT FROM run WHERE no = i.run_no) AND NOT EXISTS (
      SELECT FROM inherited o WHERE o.run_no = i.run_no AND o.last_place >= m.key & 1048575 AND o.lane_no NOT IN (:lanes) OFFSET 0
    )
  )
  RETURNING key
)
DELETE FROM listed USING gone WHERE listed.key = gone.key;

-- name: delete_inherited
DELETE FROM inherited WHERE lane_no IN (:lanes);

-- name: delete_steps
DELETE FROM step WHERE key IN (
  SELECT o.key FROM run r
  CROSS JOIN LATERAL (SELECT key FROM step WHERE key >= r.no << 20 AND key < r.no + 1 << 20 OFFSET 0) o
  WHERE r.lane_no IN (:lanes)
);

-- name: delete_left_out
DELETE FROM left_out WHERE run_no IN (SELECT no FROM run WHERE lane_no IN (:lanes));

-- name: delete_actions
DELETE FROM action USING lane l WHERE key >= l.no << 20 AND key < l.no + 1 << 20 AND l.no IN (:lanes);

-- name: delete_action_sets
DELETE FROM action_set WHERE lane_no IN (:lanes);

-- name: delete_purges
DELETE FROM purge WHERE run_no IN (SELECT no FROM run WHERE lane_no IN (:lanes));

-- name: delete_runs
DELETE FROM run WHERE lane_no IN (:lanes);

-- name: delete_conversations
DELETE FROM conversation WHERE no IN (:lanes);

-- name: delete_lanes
DELETE FROM lane WHERE no IN (:lanes);

-- name: lock_lane_of_run
SELECT l.no FROM lane l WHERE l.no = (SELECT lane_no FROM run WHERE tenant = $1 AND id = $2) FOR UPDATE;

-- name: run_to_delete
-- Its number and status, its lane's number, and whether that waits for its actions.
SELECT r.no, r.status, r.lane_no, coalesce(l.paused_by = r.id, false) FROM run r JOIN lane l ON l.no = r.lane_no
WHERE r.tenant = $1 AND r.id = $2;

-- name: empty_run
-- What is left of a deleted run keeps the places of its messages, and its keys.
UPDATE run SET id = 'deleted:' || id, status = 9, body = '' WHERE no = $1;

-- name: empty_log
DELETE FROM run_log WHERE key >= $1::bigint << 20 AND key < $1::bigint + 1 << 20;

-- name: empty_steps
DELETE FROM step WHERE key >= $1::bigint << 20 AND key < $1::bigint + 1 << 20;

-- name: forget_purge
DELETE FROM purge WHERE run_no = $1;

-- name: lock_lanes_to_purge
-- Of due_purges those lanes that nobody is at. Waits for none of them.
SELECT no FROM lane WHERE no IN (
  SELECT r.lane_no FROM (SELECT run_no FROM purge WHERE due_ns <= $1 ORDER BY due_ns, run_no LIMIT $2) p JOIN run r ON r.no = p.run_no
)
ORDER BY no FOR UPDATE SKIP LOCKED;

-- name: due_purges
-- Runs that are to be purged at $1, the longest due first: each with its lane, whether it is deleted already, and whether it must
-- not be yet. Where the lane has something that is not over, also the bodies of the run, of the head and of who waits for answers.
SELECT r.no, r.id, r.lane_no, r.status = 9,
  coalesce(l.paused_by = r.id, false) OR EXISTS (SELECT FROM delivery d WHERE d.run_no = r.no AND d.status = 1),
  CASE WHEN l.open > 0 OR l.paused_by IS NOT NULL THEN r.body END,
  CASE WHEN l.open > 0 THEN (SELECT h.body FROM run h WHERE h.lane_no = l.no AND h.seq = l.head_seq) END,
  CASE WHEN l.paused_by IS NOT NULL THEN (SELECT w.body FROM run w WHERE w.id = l.paused_by) END
FROM (SELECT run_no, due_ns FROM purge WHERE due_ns <= $1 ORDER BY due_ns, run_no LIMIT $2) p
JOIN run r ON r.no = p.run_no JOIN lane l ON l.no = r.lane_no
ORDER BY p.due_ns, p.run_no;

-- name: put_off_purges
UPDATE purge SET due_ns = $2 WHERE run_no = ANY ($1::bigint[]);

-- name: forget_purges
-- Of those of runs $1 that have no log any more.
DELETE FROM purge WHERE run_no = ANY ($1::bigint[])
  AND NOT EXISTS (SELECT FROM run_log WHERE key >= purge.run_no << 20 AND key < purge.run_no + 1 << 20);

-- name: empty_some_logs
-- Of runs $1: $2 entries at most. How many.
WITH gone AS (
  DELETE FROM run_log WHERE key = ANY (ARRAY(
    SELECT e.key FROM unnest($1::bigint[]) WITH ORDINALITY n (no, place)
    CROSS JOIN LATERAL (
      SELECT key FROM run_log WHERE key >= n.no << 20 AND key < n.no + 1 << 20 ORDER BY key LIMIT $2::bigint
    ) e
    ORDER BY n.place, e.key LIMIT $2::bigint
  ))
  RETURNING key
)
SELECT count(*) FROM gone;

-- name: free_keys
DELETE FROM run_key WHERE run_no = ANY ($1::bigint[]);

-- name: empty_steps_of
DELETE FROM step USING unnest($1::bigint[]) n (no) WHERE key >= n.no << 20 AND key < n.no + 1 << 20;

-- name: empty_outbox_of
WITH gone AS (DELETE FROM delivery WHERE run_no = ANY ($1::bigint[]) RETURNING no)
DELETE FROM delivery_attempt USING gone WHERE key >= gone.no << 28 AND key < gone.no + 1 << 28;

-- name: empty_runs
UPDATE run SET id = 'deleted:' || id, status = 9, body = '' WHERE no = ANY ($1::bigint[]);

-- name: forget_actions_of
-- Of lanes $2, those that runs $1 had stopped for.
DELETE FROM action USING action_set s
WHERE s.lane_no = ANY ($2::bigint[]) AND s.run_no = ANY ($1::bigint[]) AND key >= s.lane_no << 20 AND key < s.lane_no + 1 << 20;

-- name: forget_action_sets
DELETE FROM action_set WHERE lane_no = ANY ($2::bigint[]) AND run_no = ANY ($1::bigint[]);

-- name: delete_what_only_runs_list
-- As delete_what_only_the_run_lists, of runs $1.
WITH gone AS (
  DELETE FROM message USING unnest($1::bigint[]) n (no)
  WHERE key >= (n.no << 20) + $2::bigint AND key < n.no + 1 << 20 AND $3 <= (SELECT what FROM left_out WHERE run_no = n.no)
  RETURNING key
)
DELETE FROM listed USING gone WHERE listed.key = gone.key;

-- name: delete_what_only_the_run_lists
-- Of run $1, if its entries from place $2 on are part of no conversation (left_out.what $3).
WITH gone AS (
  DELETE FROM message WHERE key >= ($1::bigint << 20) + $2::bigint AND key < $1::bigint + 1 << 20
    AND $3 <= (SELECT what FROM left_out WHERE run_no = $1)
  RETURNING key
)
DELETE FROM listed USING gone WHERE listed.key = gone.key;

-- name: forget_actions
-- Of lane $2, if they are those that run $1 had stopped for.
DELETE FROM action WHERE key >= $2::bigint << 20 AND key < $2::bigint + 1 << 20
  AND EXISTS (SELECT FROM action_set WHERE lane_no = $2 AND run_no = $1);

-- name: forget_action_set
DELETE FROM action_set WHERE lane_no = $2 AND run_no = $1;

-- name: create_tool
-- Nothing happens if the id or the name is taken.
INSERT INTO tool (tenant, id, name, etag, body, create_time_ns) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING no;

-- name: update_tool
-- Nothing happens if another tool has the name.
UPDATE tool SET name = $3, etag = $4, body = $5, create_time_ns = $6
WHERE tenant = $1 AND id = $2 AND etag = $7 AND NOT EXISTS (
  SELECT FROM tool o WHERE o.tenant = $1 AND o.name = $3 AND o.id <> $2
)
RETURNING no;

-- name: tool
SELECT body FROM tool WHERE tenant = $1 AND id = $2;

-- name: tool_named
SELECT body FROM tool WHERE tenant = $1 AND name = $2;

-- name: list_tools
SELECT body FROM tool WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3;

-- name: delete_tool
DELETE FROM tool WHERE tenant = $1 AND id = $2 RETURNING no;

-- name: create_block
INSERT INTO block (
  id, tenant, label, create_time_ns, etag, key_scope, key_value, fingerprint, body, label_folded, description_folded, value_folded
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING no;

-- name: block_of_key
SELECT id, fingerprint, body FROM block WHERE tenant = $1 AND key_value = $2 AND key_scope = $3;

-- name: block
SELECT body FROM block WHERE tenant = $1 AND id = $2;

-- name: block_changes
SELECT no, etag, changes FROM block WHERE tenant = $1 AND id = $2 FOR UPDATE;

-- name: update_block
UPDATE block SET label = $2, etag = $3, changes = $4, body = $5, label_folded = $6, description_folded = $7, value_folded = $8
WHERE no = $1;

-- name: delete_block
DELETE FROM block WHERE tenant = $1 AND id = $2 RETURNING no;

-- name: create_file
INSERT INTO file (id, tenant, create_time_ns, key_scope, key_value, fingerprint, body, data) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: file_of_key
SELECT id, fingerprint, body FROM file WHERE tenant = $1 AND key_value = $2 AND key_scope = $3;

-- name: file
SELECT body FROM file WHERE tenant = $1 AND id = $2;

-- name: file_data
SELECT data FROM file WHERE tenant = $1 AND id = $2;

-- name: delete_file
DELETE FROM file WHERE tenant = $1 AND id = $2 RETURNING no;

-- name: endpoints_to_tell
-- Of tenants $1. They are not deleted before this transaction ends.
SELECT tenant, no, id, agent_id, events, disabled, url FROM endpoint WHERE tenant = ANY ($1::text[]) ORDER BY no FOR KEY SHARE;

-- name: add_deliveries
-- One that comes behind another of its run to the same receiver, which is not done, waits for that.
INSERT INTO delivery (
  id, tenant, run_no, endpoint_no, kind, sequence, url, queue, status, create_ns, window_ns, next_attempt_ns, given_up_ns, error,
  behind
)
SELECT n.*, CASE WHEN n.next_attempt_ns IS NOT NULL THEN (
  SELECT d.no FROM delivery d WHERE d.run_no = n.run_no AND d.endpoint_no IS NOT DISTINCT FROM n.endpoint_no AND d.status = 1
) END
FROM unnest(
  $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[], $7::bytea[], $8::bytea[], $9::smallint[],
  $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bytea[]
) n (
  id, tenant, run_no, endpoint_no, kind, sequence, url, queue, status, create_ns, window_ns, next_attempt_ns, given_up_ns, error
);

-- name: held_deliveries
-- Those of $2 that replica $1 holds, each with its run; with the run's body if that shows the attempt.
SELECT d.id, d.no, d.attempts, d.kind, d.endpoint_no, CASE WHEN d.endpoint_no IS NULL AND d.kind <> 1 THEN r.body END,
  r.lane_no, r.no, r.id, r.tenant, r.seq, r.status, r.last_sequence, r.waits, r.start_ns, r.priority, r.share, r.cancel_wanted,
  r.cancel_kind
FROM delivery d JOIN run r ON r.no = d.run_no
WHERE d.id = ANY ($2::text[]) AND d.owner = $1;

-- name: note_attempts
UPDATE delivery SET
  owner = NULL, status = n.status, next_attempt_ns = n.next_attempt_ns, attempts = n.attempts, given_up_ns = n.given_up_ns,
  error = n.error
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::integer[], $5::bigint[], $6::bytea[])
  n (no, status, next_attempt_ns, attempts, given_up_ns, error)
WHERE delivery.no = n.no;

-- name: write_attempts
INSERT INTO delivery_attempt (key, body) SELECT * FROM unnest($1::bigint[], $2::bytea[]);

-- name: forget_attempts
DELETE FROM delivery_attempt WHERE key = ANY ($1::bigint[]);

-- name: release_deliveries
-- Those that waited for these.
UPDATE delivery SET behind = NULL WHERE behind = ANY ($1::bigint[]);

-- name: due_deliveries
-- Due at $1 and held by nobody, the longest due first, each with its receiver: of one queue $2 at most. Goes from queue to queue, so
-- that it costs the same however long one is.
WITH RECURSIVE next_queue (name) AS (
  (
    SELECT queue FROM delivery
    WHERE next_attempt_ns IS NOT NULL AND owner IS NULL AND behind IS NULL AND queue IS NOT NULL ORDER BY queue LIMIT 1
  )
  UNION ALL
  SELECT n.queue FROM next_queue q CROSS JOIN LATERAL (
    SELECT d.queue FROM delivery d
    WHERE d.next_attempt_ns IS NOT NULL AND d.owner IS NULL AND d.behind IS NULL AND d.queue > q.name ORDER BY d.queue LIMIT 1
  ) n
)
SELECT o.no, coalesce(e.receiver, o.queue)
FROM next_queue q
CROSS JOIN LATERAL (
  SELECT * FROM delivery d
  WHERE d.queue = q.name AND d.next_attempt_ns <= $1 AND d.owner IS NULL AND d.behind IS NULL ORDER BY d.next_attempt_ns LIMIT $2
) o
LEFT JOIN endpoint e ON e.no = o.endpoint_no
ORDER BY o.next_attempt_ns;

-- name: due_pulled
-- As due_deliveries, of endpoint $2 of tenant $1, at $3: $4 at most.
SELECT d.no FROM endpoint e JOIN delivery d ON d.endpoint_no = e.no
WHERE e.tenant = $1 AND e.id = $2
  AND d.next_attempt_ns <= $3 AND d.owner IS NULL AND d.behind IS NULL AND d.queue IS NULL
ORDER BY d.next_attempt_ns LIMIT $4;

-- name: take_deliveries
-- Of $2, those that are still due at $3 and held by nobody; none that another replica is at.
UPDATE delivery SET owner = $1 WHERE no IN (
  SELECT no FROM delivery
  WHERE no = ANY ($2::bigint[]) AND owner IS NULL AND behind IS NULL AND next_attempt_ns <= $3
  FOR UPDATE SKIP LOCKED
)
RETURNING no;

-- name: taken_deliveries
SELECT d.id, d.tenant, d.kind, d.sequence, d.run_no, r.body, d.url, d.endpoint_no, e.body, e.secrets, d.window_ns, d.attempts
FROM delivery d JOIN run r ON r.no = d.run_no
LEFT JOIN endpoint e ON e.no = d.endpoint_no
WHERE d.no = ANY ($1::bigint[])
ORDER BY d.next_attempt_ns, d.no;

-- name: outbox
SELECT (SELECT count(*) FROM delivery WHERE endpoint_no IS NULL AND status = 1), EXISTS (SELECT FROM endpoint);

-- name: free_deliveries
-- What replicas $1 held is due again.
UPDATE delivery SET owner = NULL WHERE owner = ANY ($1::bigint[]);

-- name: delivery_number
SELECT no FROM delivery WHERE id = $2 AND tenant = $1;

-- name: told_deliveries
-- Those with the numbers $1, newest first.
SELECT d.no, d.id, r.id, d.sequence, d.kind, e.id, coalesce(d.url, e.url), d.status, d.create_ns, d.attempts, d.next_attempt_ns,
  d.given_up_ns, d.error
FROM delivery d JOIN run r ON r.no = d.run_no
LEFT JOIN endpoint e ON e.no = d.endpoint_no
WHERE d.no = ANY ($1::bigint[])
ORDER BY d.no DESC;

-- name: bytes_of_attempts
-- Of deliveries $1.
SELECT coalesce(sum(length(a.body)), 0)::bigint
FROM unnest($1::bigint[]) n (no) JOIN delivery_attempt a ON a.key >= n.no << 28 AND a.key < n.no + 1 << 28;

-- name: attempts
-- The last $2 at each of deliveries $1.
SELECT d.no, a.body FROM delivery d
JOIN delivery_attempt a ON a.key > (d.no << 28) + greatest(0, d.attempts - $2::integer) AND a.key < d.no + 1 << 28
WHERE d.no = ANY ($1::bigint[])
ORDER BY a.key;

-- name: deliveries_of_ids
SELECT no FROM delivery WHERE id = ANY ($2::text[]) AND tenant = $1;

-- name: missed_deliveries
-- Dead letters of endpoint $2 of tenant $1 since $3, behind number $4: $5 at most, in their order.
SELECT d.no FROM endpoint e JOIN delivery d ON d.endpoint_no = e.no AND d.status = 3 AND d.no > $4
WHERE e.tenant = $1 AND e.id = $2 AND d.create_ns >= $3
ORDER BY d.no LIMIT $5;

-- name: lock_lanes_of_deliveries
SELECT count(*) FROM (
  SELECT FROM lane
  WHERE no IN (SELECT r.lane_no FROM delivery d JOIN run r ON r.no = d.run_no WHERE d.no = ANY ($1::bigint[]))
  ORDER BY no FOR UPDATE
) locked;

-- name: redeliver
-- Those of $1 that are done or given up, from $2 on.
UPDATE delivery SET status = 1, window_ns = $2, next_attempt_ns = $2, given_up_ns = NULL, error = NULL
WHERE no = ANY ($1::bigint[]) AND status <> 1
RETURNING no;

-- name: runs_called_back
-- Of those of deliveries $1 that are the own callbacks of the ends of runs: the runs, which show how they stand.
SELECT r.no, r.body FROM delivery d JOIN run r ON r.no = d.run_no
WHERE d.no = ANY ($1::bigint[]) AND d.endpoint_no IS NULL AND d.kind <> 1;

-- name: write_run_bodies
UPDATE run SET body = n.body FROM unnest($1::bigint[], $2::bytea[]) n (no, body) WHERE run.no = n.no;

-- name: put_in_order
-- Of the runs of $1: what is not done waits for what comes before it, if that is not done either.
UPDATE delivery SET behind = (
  SELECT s.no FROM delivery s
  WHERE s.run_no = delivery.run_no AND s.endpoint_no IS NOT DISTINCT FROM delivery.endpoint_no AND s.sequence < delivery.sequence
    AND s.status = 1
)
WHERE run_no IN (SELECT run_no FROM delivery WHERE no = ANY ($1::bigint[])) AND status = 1;

-- name: empty_outbox
WITH gone AS (DELETE FROM delivery WHERE run_no = $1 RETURNING no)
DELETE FROM delivery_attempt USING gone WHERE key >= gone.no << 28 AND key < gone.no + 1 << 28;

-- name: delete_deliveries
WITH gone AS (DELETE FROM delivery WHERE run_no IN (SELECT no FROM run WHERE lane_no IN (:lanes)) RETURNING no)
DELETE FROM delivery_attempt USING gone WHERE key >= gone.no << 28 AND key < gone.no + 1 << 28;

-- name: lock_endpoints_of
-- Nobody else makes one for tenant $1 before this transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('endpoints of ' || $1::text, 0));

-- name: create_endpoint
INSERT INTO endpoint (
  id, tenant, agent_id, events, disabled, url, receiver, create_time_ns, etag, body, secrets, key_scope, key_value, fingerprint
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: endpoint_of_key
SELECT id, fingerprint, body, secrets FROM endpoint WHERE tenant = $1 AND key_value = $2 AND key_scope = $3;

-- name: count_endpoints
SELECT count(*) FROM endpoint WHERE tenant = $1;

-- name: endpoint
SELECT body, secrets FROM endpoint WHERE id = $2 AND tenant = $1;

-- name: update_endpoint
UPDATE endpoint SET
  agent_id = $3, events = $4, disabled = $5, url = $6, receiver = $7, create_time_ns = $8, etag = $9, body = $10, secrets = $11
WHERE id = $1 AND tenant = $2 AND etag = $12
RETURNING no;

-- name: enabled_endpoint
SELECT body FROM endpoint WHERE no = $1 AND NOT disabled AND url = $2 FOR NO KEY UPDATE;

-- name: disable_endpoint
UPDATE endpoint SET disabled = true, etag = $2, body = $3 WHERE no = $1;

-- name: endpoint_to_delete
SELECT no FROM endpoint WHERE id = $2 AND tenant = $1 FOR UPDATE;

-- name: delete_deliveries_of_endpoint
-- $2 of them at most; how many.
WITH gone AS (
  DELETE FROM delivery WHERE no IN (SELECT no FROM delivery WHERE endpoint_no = $1 LIMIT $2) RETURNING no
), attempts AS (
  DELETE FROM delivery_attempt USING gone WHERE key >= gone.no << 28 AND key < gone.no + 1 << 28
)
SELECT count(*) FROM gone;

-- name: delete_endpoint
DELETE FROM endpoint WHERE no = $1;

-- name: api_key_changes
-- All but `change`, in the order of `ApiKey`.
SELECT id, tenant, role, name, secret_hash, certificate, created_ns, expires_ns, revoked_ns, used_ns
FROM api_key WHERE change > $1;

-- name: last_api_key_change
SELECT coalesce(max(change), 0) FROM api_key;

-- name: list_api_keys
-- Of tenant $1, or all if it is NULL.
SELECT id, tenant, role, name, secret_hash, certificate, created_ns, expires_ns, revoked_ns, used_ns
FROM api_key WHERE $1::text IS NULL OR tenant = $1 ORDER BY created_ns, id;

-- name: api_key
SELECT id, tenant, role, name, secret_hash, certificate, created_ns, expires_ns, revoked_ns, used_ns
FROM api_key WHERE id = $1;

-- name: count_api_keys
SELECT count(*) FROM api_key WHERE revoked_ns IS NULL;

-- name: api_key_of_certificate
SELECT id FROM api_key WHERE certificate = $1 AND revoked_ns IS NULL;

-- name: add_api_key
INSERT INTO api_key (id, tenant, role, name, secret_hash, certificate, created_ns, expires_ns, revoked_ns, used_ns, change)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, (SELECT coalesce(max(change), 0) + 1 FROM api_key));

-- name: revoke_api_key
UPDATE api_key SET revoked_ns = $2, change = (SELECT max(change) + 1 FROM api_key) WHERE id = $1 AND revoked_ns IS NULL RETURNING 1;

-- name: note_api_keys_used
-- Ids $1 at times $2.
UPDATE api_key SET used_ns = told.used_ns
FROM (SELECT unnest($1::text[]) AS id, unnest($2::bigint[]) AS used_ns ORDER BY 1) told
WHERE api_key.id = told.id AND coalesce(api_key.used_ns, 0) < told.used_ns;

-- name: note_act_at_desk
INSERT INTO audit (tenant, id, time_ns, body)
VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint, $3);

-- name: keep_out_programs_without_keys
UPDATE schema_version SET oldest = number WHERE number = $1;

-- name: agents_behind
-- Locked, so that nobody changes them meanwhile.
SELECT no, tenant, body FROM agent WHERE no > $1 ORDER BY no LIMIT $2 FOR UPDATE;

-- name: write_agent_body
UPDATE agent SET body = $2 WHERE no = $1;

-- name: endpoints_behind
-- Locked, so that nobody changes them meanwhile.
SELECT no, tenant, id, secrets FROM endpoint WHERE no > $1 ORDER BY no LIMIT $2 FOR UPDATE;

-- name: write_endpoint_secrets
UPDATE endpoint SET secrets = $2 WHERE no = $1;

-- name: write_acts
INSERT INTO audit (tenant, id, time_ns, body) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[])
ON CONFLICT (tenant, id) DO UPDATE SET body = excluded.body;

-- name: acts
-- Of tenant $1, newest first: those before id $2.
SELECT time_ns, body FROM audit WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3;

-- name: next_audited_tenant
SELECT min(tenant) FROM audit WHERE tenant > $1;

-- name: purge_acts
-- The oldest $3 of tenant $1, as far as they are from before $2; how many.
WITH gone AS (
  DELETE FROM audit WHERE tenant = $1 AND time_ns < $2 AND id IN (SELECT id FROM audit WHERE tenant = $1 ORDER BY id LIMIT $3)
  RETURNING 1
)
SELECT count(*) FROM gone;
