"""What keeps a run, in sentences: those for what is seldom seen by real servers."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.clock import SECOND_NS
from sendoff_server.runs.explaining import explained
from sendoff_server.runs.waiting import show_wait
from sendoff_server.store.questions import AtCap, CapOf, Queued
from sendoff_server.store.standing import ReplicaSeen, SlotPlace, Standing

NOW_NS = 1_700_000_100 * SECOND_NS
AT = "2023-11-14 22:13:20.000Z"
PAUSED_AT = Timestamp(seconds=1_700_000_000)


def standing(queued: Queued, status: v1.RunStatus.ValueType = v1.RUN_STATUS_CREATED, **fields: Any) -> Standing:
    run = v1.Run(id="run-1", agent_id="agent-1", status=status, attempt=fields.pop("attempt", 0))
    told: dict[str, Any] = {
        "in_front": (),
        "head": queued,
        "awaited": (),
        "priority": 3,
        "start_before_ns": None,
        "holder": None,
        "place": None,
        "at_work": (),
        "replicas": (),
        **fields,
    }
    return Standing(now_ns=NOW_NS, run=run, queued=queued, **told)


def told(of: Standing) -> v1.ExplainRunResponse:
    run = v1.Run()
    run.CopyFrom(of.run)
    if run.status == v1.RUN_STATUS_CREATED and of.queued is not None:
        show_wait(run, of.queued, of.now_ns)
    return explained(run, of)


@pytest.mark.parametrize(
    ("pause", "sentence"),
    [
        (
            v1.DispatchPause(agent_id="agent-1", reason="the tool is down", create_time=PAUSED_AT),
            f"Dispatch is paused for agent agent-1 since {AT}: 'the tool is down'. It waits until it is resumed.",
        ),
        (
            v1.DispatchPause(fairness_key="acme", create_time=PAUSED_AT),
            f"Dispatch is paused for fairness key 'acme' since {AT}. It waits until it is resumed.",
        ),
        (
            v1.DispatchPause(create_time=PAUSED_AT),
            f"Dispatch is paused for all runs of the tenant since {AT}. It waits until it is resumed.",
        ),
    ],
)
def test_a_pause_is_named_with_its_scope_and_reason(pause: v1.DispatchPause, sentence: str) -> None:
    explanation = told(standing(Queued(0, None, pause=pause)))
    assert explanation.run.wait.reason == "DISPATCH_PAUSED"
    assert explanation.pause == pause
    assert list(explanation.facts) == [sentence]


def test_what_comes_before_a_pause_is_told_alone() -> None:
    explanation = told(standing(Queued(0, None, start_ns=NOW_NS + 1, pause=v1.DispatchPause())))
    assert (explanation.run.wait.reason, explanation.HasField("pause")) == ("START_TIME", False)


@pytest.mark.parametrize(
    ("at_cap", "cap", "sentence"),
    [
        (
            AtCap(CapOf.AGENT, 3, 3),
            v1.RunCap(agent_id="agent-1", most=3, running=3),
            "It waits: 3 runs of agent agent-1 are under way, and no more than 3 may be.",
        ),
        (
            AtCap(CapOf.TENANT, 10, 9),
            v1.RunCap(most=9, running=10),
            "It waits: 10 runs of the tenant are under way, and no more than 9 may be.",
        ),
    ],
)
def test_a_cap_is_named_with_whom_it_counts_and_who_is_counted(at_cap: AtCap, cap: v1.RunCap, sentence: str) -> None:
    explanation = told(standing(Queued(0, None, at_cap=at_cap), at_work=["run-8", "run-9"]))
    assert (explanation.cap, list(explanation.blocking_run_ids)) == (cap, ["run-8", "run-9"])
    assert list(explanation.facts) == [sentence]


def test_a_run_behind_another_tells_what_keeps_that_one() -> None:
    first = v1.Run(id="run-0", agent_id="agent-1", status=v1.RUN_STATUS_CREATED)
    head = Queued(0, None, pause=v1.DispatchPause(create_time=PAUSED_AT))
    explanation = told(standing(Queued(1, "run-0"), in_front=[first], head=head))
    assert list(explanation.blocking_run_ids) == ["run-0"]
    assert list(explanation.facts) == [
        "run-0 of its conversation is in front of it.",
        f"Dispatch is paused for all runs of the tenant since {AT}. run-0 waits until it is resumed.",
    ]


def test_a_run_whose_replica_is_gone_tells_so_and_what_goes_before_it() -> None:
    place = SlotPlace(ready_ns=1_700_000_000 * SECOND_NS, ahead=1_000, shares=2)
    replicas = [ReplicaSeen("replica-1", NOW_NS, 4, 4), ReplicaSeen("replica-2", NOW_NS, None, 1)]
    lost = standing(Queued(0, None), v1.RUN_STATUS_RUNNING, place=place, replicas=replicas, attempt=2)
    assert list(told(lost).facts) == [
        "It was given up by the replica that worked on it; another one goes on from its last finished step.",
        f"It waits for a slot since {AT}; 5 of 4 are taken, none is free.",
        "Of the conversations without a fairness key that wait, 1000 or more go before it.",
        "2 keys have conversations that wait; free slots go from one to the next.",
        "It was started 2 times, after replicas that stopped.",
    ]
    capped = standing(Queued(0, None, at_cap=AtCap(CapOf.TENANT, 9, 9)), v1.RUN_STATUS_RUNNING)
    assert told(capped).facts[1] == "9 runs of the tenant are under way, and no more than 9 may be."


def test_a_run_that_a_replica_has_taken_up_without_a_slot_tells_which() -> None:
    explanation = told(standing(Queued(0, None), holder=ReplicaSeen("replica-1", NOW_NS, 4, 5)))
    assert explanation.facts[0] == "It is about to be started: replica-1 begins it as soon as one of its slots is free."
    assert explanation.lease.run_id == "run-1"
    assert (
        told(standing(Queued(0, None))).facts[0] == "Its time has come; the next replica with a free slot takes it up."
    )


def test_a_reason_that_is_not_known_yet_is_told_as_it_is() -> None:
    run = v1.Run(id="run-1", status=v1.RUN_STATUS_CREATED, wait=v1.WaitInfo(reason="NEWER"))
    assert list(explained(run, standing(Queued(0, None))).facts) == ["It waits: NEWER."]
    run.ClearField("wait")
    assert list(explained(run, standing(Queued(0, None))).facts) == ["It is being started."]
