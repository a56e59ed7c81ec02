"""What keeps a run, and how much waits: through both clients and the command."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import methods, v1
from tests.unit.client.commanding import Command
from tests.unit.client.scripted_server import RUN_ID, Asker, ScriptedServer

EXPLAINED = v1.ExplainRunResponse(run=v1.Run(id=RUN_ID), facts=["It waits for a slot.", "2 go\x1b[2J\nbefore it."])
STATS = v1.GetQueueStatsResponse(
    buckets=[
        v1.QueueBucket(fairness_key="acme", priority=1, queued=3, oldest_age=Duration(seconds=4)),
        v1.QueueBucket(priority=3, blocked=2, scheduled=1, running=5),
    ],
    slot_waits=[
        v1.SlotWaits(
            fairness_key="acme", runs=7, p50=Duration(seconds=1), p95=Duration(seconds=2), max=Duration(seconds=3)
        )
    ],
    replicas=[v1.Replica(id="replica-1", slots=6, slots_used=5, beat_time=Timestamp(seconds=1_700_000_000))],
    slots=6,
    slots_used=5,
    truncated=True,
    pauses=[v1.DispatchPause(fairness_key="acme", reason="night", create_time=Timestamp(seconds=1_700_000_000))],
    max_running_per_tenant=9,
)


async def test_a_run_is_explained(asker: Asker, command: Command, server: ScriptedServer) -> None:
    server.plan(methods.EXPLAIN_RUN, EXPLAINED, EXPLAINED, EXPLAINED)

    assert await asker.call("explain_run", RUN_ID) == EXPLAINED
    assert (await command("runs", "explain", RUN_ID)).stdout == "It waits for a slot.\n2 go\ufffd[2J before it.\n"
    assert '"facts"' in (await command("runs", "explain", RUN_ID, "--json")).stdout

    assert server.asked(v1.ExplainRunRequest) == [v1.ExplainRunRequest(run_id=RUN_ID)] * 3


async def test_how_much_waits_is_shown(asker: Asker, command: Command, server: ScriptedServer) -> None:
    server.plan(methods.GET_QUEUE_STATS, STATS, STATS, STATS)

    assert await asker.call("queue_stats", fairness_key="acme") == STATS
    outcome = await command("queue")
    assert '"slot_waits"' in (await command("queue", "--fairness-key", "", "--json")).stdout

    rows = [line.split("\t") for line in outcome.stdout.splitlines()]
    assert rows[1:3] == [["acme", "1", "3", "0", "0", "0", "4.00 s"], ["", "3", "0", "2", "1", "5", ""]]
    assert rows[5] == ["acme", "7", "1.00 s", "2.00 s", "3.00 s"]
    assert rows[8:10] == [["replica-1", "6", "5", "2023-11-14 22:13:20Z"], ["together", "6", "5", ""]]
    assert rows[12:] == [["key acme", "2023-11-14 22:13:20Z", "night"]]
    assert "at most 9 runs of one tenant" in outcome.stderr
    assert "there is more" in outcome.stderr
    assert server.asked(v1.GetQueueStatsRequest) == [
        v1.GetQueueStatsRequest(fairness_key="acme"),
        v1.GetQueueStatsRequest(),
        v1.GetQueueStatsRequest(fairness_key=""),
    ]
