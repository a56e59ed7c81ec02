"""How PostgreSQL goes about the statements of the store on tables that have grown: along indexes, whatever it knows."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.store.batch.dispatch import Caps
from sendoff_server.store.items import Key, WhenPending
from sendoff_server.store.port import DEFAULT_TENANT as TENANT
from sendoff_server.store.port import Store
from sendoff_server.store.postgres.connection import Pool
from sendoff_server.store.postgres.engine import PostgresStore
from sendoff_server.store.questions import (
    ActionQuery,
    AgentQuery,
    BlockQuery,
    ConversationQuery,
    DeliveryQuery,
    DispatchScope,
    Fork,
    MessageQuery,
    MessageScope,
    RunQuery,
    StepQuery,
    TagQuery,
)
from tests.contract.making import (
    accept,
    claim_of,
    conversation,
    finish,
    new_conversation,
    new_lane,
    run_to_end,
    stopped,
)
from tests.postgres import Session, new_database

Filters = tuple[dict[str, Any], ...]

GROWN = """
SELECT setval('run_no', 100000);
INSERT INTO agent (id, tenant, create_time_ns, etag, fingerprint, body) SELECT 'agent-' || i, 'default', i, '1', '', '' FROM generate_series(1, 200) i;
INSERT INTO agent_entry (agent_no, id, tenant, name, name_folded, create_time_ns, update_time_ns) SELECT no, id, tenant, convert_to(id, 'UTF8'), '', no, no FROM agent;
INSERT INTO agent_tag SELECT 'default', convert_to('tag' || i, 'UTF8'), no, '' FROM agent, generate_series(1, 10) i;
INSERT INTO lane (id, tenant, agent_no, last_seq, head_seq) SELECT 'lane-' || i, 'default', 1 + i % 200, 102400, 102401 FROM generate_series(1, 1000) i;
INSERT INTO conversation (no, id, tenant, agent_no, create_time_ns, etag, fingerprint, body) SELECT no, id, tenant, agent_no, no, '1', '', '' FROM lane;
INSERT INTO run (no, id, tenant, lane_no, seq, create_time_ns, status, last_sequence, fingerprint, body)
  SELECT i, 'run-' || i, 'default', 1 + i % 200, (i / 200 + 1) << 10, i, 3, 3, '', decode(repeat('ab', 400), 'hex') FROM generate_series(1, 15000) i;
INSERT INTO run_log SELECT (i::bigint << 20) + j, decode(repeat('ab', 400), 'hex') FROM generate_series(1, 15000) i, generate_series(0, 3) j;
INSERT INTO run_key SELECT 'default', convert_to('k' || i, 'UTF8'), 'request', i FROM generate_series(1, 15000) i;
INSERT INTO message SELECT (i::bigint << 20) + 8 + j, decode(repeat('ab', 400), 'hex') FROM generate_series(1, 15000) i, generate_series(0, 1) j;
INSERT INTO listed SELECT key, 'message-' || key, 'default', 1 + key % 200, key, 2, key & 1048575, 100 FROM message;
INSERT INTO step SELECT i::bigint << 20, 'step-' || i, 'default', 1 + i % 200, i, 'm', 't', 0, NULL, '' FROM generate_series(1, 15000) i;
INSERT INTO delivery (id, tenant, run_no, kind, sequence, url, queue, status, create_ns, window_ns, next_attempt_ns)
  SELECT 'delivery-' || i, 'default', i, 4, 3, 'u', 'q', CASE WHEN i % 50 = 0 THEN 1 ELSE 2 END, i, i, CASE WHEN i % 50 = 0 THEN i END FROM generate_series(1, 15000) i;
INSERT INTO delivery_attempt SELECT (no << 28) + 1, '' FROM delivery;
INSERT INTO block (id, tenant, label, create_time_ns, etag, fingerprint, body, label_folded, description_folded, value_folded)
  SELECT 'block-' || i, 'default', 'l', i, '1', '', '', 'l', '', '' FROM generate_series(1, 2000) i;
INSERT INTO block_tag SELECT 'default', convert_to('tag' || i, 'UTF8'), no, '' FROM block, generate_series(1, 3) i;
INSERT INTO purge SELECT i, i FROM generate_series(2, 10000) i;
INSERT INTO inherited SELECT i, 1024, i * 3, 1048575, 0 FROM generate_series(1, 500) i;
INSERT INTO action_set SELECT i, i * 3, '', 0, true FROM generate_series(1, 500) i;
INSERT INTO action SELECT i::bigint << 20, 'default', 1, i, i > 20, '' FROM generate_series(1, 500) i;
"""  # noqa: E501

WALKED = {
    "schema_version_pkey",
    "replica_pkey",
    "endpoint_pkey",  # few rows
    "endpoint_by_time",
    "lane_scheduled",  # of what waits or is under way the first ones, or all
    "lane_waiting",
    "lane_open",
    "lane_owned",
    "dispatch_pause_pkey",  # few rows
    "dispatch_pause_by_scope",
    "run_to_cancel",  # runs that are being cancelled right now
    "delivery_due",
    "delivery_own",
    "left_out_pkey",  # short, and only what deletes a conversation may take it for that
}
"""Indexes that are walked without a condition."""

BEGINS_WITH = {"run_by_lane": "lane_no", "listed_by_agent": "agent_no", "listed_by_tenant": "tenant"}
"""Indexes that are of use for one of these only: a condition on their further columns alone goes through all."""


@pytest.fixture(params=["not known", "known"], scope="module")
def grown(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database whose tables have grown, by its DSN; its statistics are known, or not yet."""
    with new_database() as dsn:
        yield f"{request.param}:{dsn}"


async def test_no_statement_walks_what_grows(grown: str) -> None:
    known, _, dsn = grown.partition(":")
    async with PostgresStore(dsn):
        pass
    session = Session(dsn)
    session.execute(GROWN)
    if known == "known":
        session.execute("VACUUM ANALYZE")  # what autovacuum does; without it no index alone would tell what is there
    session.close()
    async with PostgresStore(dsn, connections=4) as store:
        await _ask_everything(store)
        plans = [*await _plans(store._others), *await _plans(store._flushing)]
    async with PostgresStore(dsn, connections=4, caps=Caps(per_agent=1, per_tenant=1)) as store:
        await _claim_under_caps(store)
        plans += [*await _plans(store._others), *await _plans(store._flushing)]
    assert len(plans) > 80
    faults = [(fault, statement) for statement, plan in plans for fault in _faults(plan)]
    assert not faults, faults


async def _ask_everything(store: Store) -> None:
    """What is asked brings the connection to prepare a statement; what it finds does not matter."""
    lane = await new_lane(store)
    await run_to_end(store, await claim_of(store, accept(lane, request_id="r")), texts=["a"])
    fork = conversation(lane)
    await store.create_conversation(TENANT, fork, None, b"", Fork(lane, None))
    await store.flush([accept(await new_lane(store), lease=False)])
    assert len(await store.claim(1)) == 1
    await _list_messages(store)
    await _list_others(store)
    await _read(store)
    await _explain(store, lane)
    await _pause(store, lane)
    await store.delete_run(TENANT, "run-1")
    await store.purge(40, 20)
    await store.delete_conversation(TENANT, fork.id)
    await store.delete_agent(TENANT, lane)


async def _claim_under_caps(store: Store) -> None:
    lane = await new_lane(store)
    item = accept(lane, lease=False)
    await store.flush([item, accept(await new_conversation(store, lane), lease=False, agent_id=lane)])
    (claim,) = await store.claim(10)
    await store.queued(item.run.id)
    await store.flush([finish(claim)])
    await store.claim(10)


async def _pause(store: Store, lane: str) -> None:
    for scope in (DispatchScope(tenant=TENANT, agent_id=lane), DispatchScope(tenant=TENANT, share=1)):
        await store.pause_dispatch(scope, v1.DispatchPause(), 10)
        await store.flush([accept(await new_lane(store), lease=False)])
        await store.claim(1)
        await store.dispatch_pauses(TENANT)
        await store.resume_dispatch(scope)


async def _list_messages(store: Store) -> None:
    """From the beginning, because the bodies that grew are no messages."""
    scopes = [MessageScope(tenant=TENANT, **{name: "x"}) for name in ("run_id", "lane", "agent_id")]
    for of in (*scopes, MessageScope(tenant=TENANT)):
        await store.message_place(of, "x")
        for newest_first in (True, False):
            await store.list_messages(MessageQuery(of=of, newest_first=newest_first, older_than=0))
    for newest_first in (True, False):
        await store.messages(TENANT, "x", None, 10, newest_first=newest_first)


async def _list_others(store: Store) -> None:
    after = (0, "x")
    key = Key("request", "x")
    narrow: Filters = ({}, {"agent_id": "x"}, {"run_id": "x"}, {"agent_id": "x", "run_id": "x"})
    for of in (
        {},
        {"agent_id": "x"},
        {"lane": "x"},
        {"agent_ids": ["x"]},
        {"active": True},
        {"otid": "x"},
        {"key": key},
    ):
        await store.list_runs(RunQuery(tenant=TENANT, statuses=[v1.RUN_STATUS_RUNNING], after=after, **of))
    for of in narrow:
        await store.list_steps(StepQuery(tenant=TENANT, after=(0, 0), **of))
        await store.list_actions(ActionQuery(tenant=TENANT, after=(0, "0"), **of))
    of_actions: Filters = ({"lane": "x"}, {"kind": v1.ACTION_KIND_APPROVAL})
    for of in of_actions:
        await store.list_actions(ActionQuery(tenant=TENANT, after=(0, "0"), **of))
    of_agents: Filters = ({}, {"tags": ["x"]}, {"name": "x"}, {"agent_ids": ["x"]}, {"name_search": "x"})
    for wanted in of_agents:
        asked = v1.AgentFilter(**wanted)
        await store.list_agents(AgentQuery(tenant=TENANT, filter=asked, after=after, limit=5))
    of_deliveries: Filters = ({}, {"run_id": "x"}, {"endpoint_id": "x"}, {"run_id": "x", "endpoint_id": "x"})
    for of in of_deliveries:
        await store.list_deliveries(DeliveryQuery(tenant=TENANT, before=0, **of))
    of_blocks: Filters = ({}, {"tags": ["x"]}, {"label": "x"})
    for of in of_blocks:
        await store.list_blocks(BlockQuery(tenant=TENANT, after=after, limit=5, **of))
    for of in narrow[:2]:
        await store.list_conversations(ConversationQuery(tenant=TENANT, after=(-1, ""), **of))
    await store.list_tags(TagQuery(tenant=TENANT, after="x", limit=5))


async def _read(store: Store) -> None:
    asked: tuple[Awaitable[object], ...] = (
        store.runs(TENANT, ["x"]),
        store.run_marks(["x"]),
        store.wanted_cancels(),
        store.queued("x"),
        store.count_queue(TENANT, []),
        store.count_queue(TENANT, [1]),
        store.slot_waits("another"),  # the bodies that grew are none
        store.events("x", 0, 10),
        store.run_messages("x", -1, 10),
        store.run_request(TENANT, "x"),
        store.history("x", 1 << 40, 100),
        store.message_position(TENANT, "x", "x"),
        store.message(TENANT, "x"),
        store.steps("x"),
        store.step(TENANT, "x"),
        store.overdue_runs(1, 10),
        store.next_start_s(),
        store.actions(TENANT, "x"),
        store.expired_actions(0, 10),
        store.claim_deliveries(0, 10, 10, {}),
        store.claim_pulled(TENANT, "x", 0, 10),
        store.outbox(),
        store.delivery(TENANT, "delivery-1"),
        store.redeliver(TENANT, ["x"], 0),
        store.conversation(TENANT, "x"),
    )
    for answer in asked:
        await answer


async def _explain(store: Store, lane: str) -> None:
    """A run that waits for a slot, which is what most is told of."""
    await store.flush([waiting := accept(await new_lane(store), lease=False)])
    standing = await store.standing(TENANT, waiting.run.id)
    assert standing is not None
    assert standing.place is not None
    stop = await stopped(store, lane)
    await store.flush([held := accept(lane, when_pending=WhenPending.WAIT)])
    standing = await store.standing(TENANT, held.run.id)
    assert standing is not None
    assert list(standing.awaited) == list(stop.pending_actions)


async def _plans(pool: Pool) -> list[tuple[str, dict[str, Any]]]:
    """Of all that its connection has prepared."""
    found = []
    async with pool.acquire() as connection:
        prepared = await connection.fetch(
            "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements "
            "WHERE statement NOT LIKE '%typeinfo_tree%'"  # the driver's own
        )
        for name, statement, count in prepared:
            values = f"({', '.join(['NULL'] * count)})" if count else ""
            told = await connection.fetchval(f'EXPLAIN (FORMAT JSON) EXECUTE "{name}" {values}')
            found.append((statement, json.loads(told)[0]["Plan"]))
    return found


def _faults(node: dict[str, Any]) -> Iterator[str]:
    table = node.get("Relation Name", "")
    if node["Node Type"] == "Seq Scan" and not table.startswith(("pg_", "schema_version", "dispatch_pause")):
        yield f"reads all of {table}"
    if "Index Name" in node and "Index Cond" not in node and node["Index Name"] not in WALKED:
        yield f"walks all of {node['Index Name']}"
    begins_with = BEGINS_WITH.get(node.get("Index Name", ""))
    if begins_with is not None and begins_with not in node.get("Index Cond", ""):
        yield f"takes {node['Index Name']} for every {begins_with}"
    for part in node.get("Plans", ()):
        yield from _faults(part)
