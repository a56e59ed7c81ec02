"""A turn of several runs, watched and waited for as one."""

from __future__ import annotations

import pytest

import sendoff
from sendoff import methods, v1
from sendoff.waiting import is_reached
from tests.unit.client.logs import end, frame, said
from tests.unit.client.scripted_server import RESET, RUN_ID, Asker, ScriptedServer

NEXT_ID = "run-00000000-0000-4000-8000-000000000002"
OVER = v1.StreamEnd.REASON_RUN_FINISHED
TURN_END = v1.WaitUntil.WAIT_UNTIL_TURN_END


def event(run_id: str, sequence: int, *, last: bool = False) -> v1.RunEvent:
    made = v1.RunEvent(run_id=run_id, sequence=sequence)
    if last:
        made.finished.run.CopyFrom(v1.Run(id=run_id, status=v1.RunStatus.RUN_STATUS_COMPLETED))
    else:
        made.message.CopyFrom(said(f"message-{run_id}-{sequence}", f"{run_id[-1]}.{sequence}"))
    return made


FIRST = [event(RUN_ID, 1), event(RUN_ID, 2, last=True)]
SECOND = [event(NEXT_ID, 1), event(NEXT_ID, 2, last=True)]


async def test_the_logs_of_a_turn_come_one_after_another(asker: Asker, server: ScriptedServer) -> None:
    server.plan_streams([*map(frame, FIRST + SECOND), end(OVER, 2)])
    assert await asker.every("watch", RUN_ID, follow_continuations=True) == FIRST + SECOND
    (request,) = server.asked(v1.WatchRunRequest)
    assert request.follow_continuations


@pytest.mark.parametrize("seen", range(1, 5))
async def test_a_cut_stream_goes_on_in_the_run_of_the_last_event(
    seen: int, asker: Asker, server: ScriptedServer
) -> None:
    whole = FIRST + SECOND
    server.plan_streams([*map(frame, whole[:seen]), RESET], [*map(frame, whole[seen:]), end(OVER, 2)])
    assert await asker.every("watch", RUN_ID, follow_continuations=True) == whole
    again = server.asked(v1.WatchRunRequest)[1]
    assert (again.run_id, again.after_sequence) == (whole[seen - 1].run_id, whole[seen - 1].sequence)


async def test_a_gap_in_the_second_log_is_noticed(asker: Asker, server: ScriptedServer) -> None:
    server.plan_streams([*map(frame, [*FIRST, SECOND[1]])])
    with pytest.raises(sendoff.LogGap):
        await asker.every("watch", RUN_ID, follow_continuations=True)


async def test_without_asking_for_the_turn_a_watch_ends_with_its_run(asker: Asker, server: ScriptedServer) -> None:
    server.plan_streams([*map(frame, FIRST + SECOND)])
    assert await asker.every("watch", RUN_ID) == FIRST


async def test_the_end_of_a_turn_is_its_newest_run(asker: Asker, server: ScriptedServer) -> None:
    waits = v1.Run(id=RUN_ID, status=v1.RunStatus.RUN_STATUS_COMPLETED, pending_actions=[v1.PendingAction()])
    ended = v1.Run(id=NEXT_ID, status=v1.RunStatus.RUN_STATUS_COMPLETED)
    server.plan(methods.WAIT_RUN, waits, ended)
    assert await asker.call("wait_run", RUN_ID, TURN_END) == ended
    assert [request.run_id for request in server.asked(v1.WaitRunRequest)] == [RUN_ID, RUN_ID]


def test_a_run_that_waits_for_answers_is_not_the_end_of_its_turn() -> None:
    run = v1.Run(status=v1.RunStatus.RUN_STATUS_COMPLETED, stop_reason=v1.StopReason.STOP_REASON_REQUIRES_APPROVAL)
    assert is_reached(run, TURN_END)
    run.pending_actions.add()
    assert not is_reached(run, TURN_END)
    assert is_reached(run, v1.WaitUntil.WAIT_UNTIL_ACTION_OR_TERMINAL)


def test_a_transcript_has_the_texts_of_all_runs_of_a_turn() -> None:
    transcript = sendoff.Transcript()
    asks = v1.Message(id="asks", approval_request_message=v1.ApprovalRequestMessage())
    asks.approval_request_message.tool_calls.add(tool_call_id="c", name="pay", arguments='{"euro": 5}')
    answered = v1.Message(id="answers", approval_response_message=v1.ApprovalResponseMessage())
    returned = v1.Message(id="returns", tool_return_message=v1.ToolReturnMessage())
    for entry in (
        FIRST[0],
        v1.RunEvent(run_id=RUN_ID, sequence=2, message=asks),
        v1.RunEvent(run_id=NEXT_ID, sequence=1, message=answered),
        v1.RunEvent(run_id=NEXT_ID, sequence=2, message=returned),
        v1.MessageDelta(message_id="later", text="half"),
        v1.RunEvent(run_id=NEXT_ID, sequence=3, message=said("later", "half and whole")),
    ):
        transcript.apply(entry)
    assert transcript.text == "1.1\n\nhalf and whole"
    assert [part.kind for part in transcript.parts] == ["text", "tool_arguments", "text"]
