"""Steps over all runs and what people think of them, single messages, and deleted runs, through both clients."""

from __future__ import annotations

from sendoff import methods, v1
from tests.unit.client.commanding import Command
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID, UNAVAILABLE, Asker, ScriptedServer

STEP_ID = "step-00000000-0000-4000-8000-000000000001"
MESSAGE_ID = "message-00000000-0000-4000-8000-000000000001"
STEP = v1.Step(id=STEP_ID, run_id=RUN_ID, feedback=v1.STEP_FEEDBACK_POSITIVE, tags=["fast"])
MESSAGE = v1.Message(id=MESSAGE_ID, run_id=RUN_ID)


async def test_steps_of_all_runs_are_listed_page_by_page(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.LIST_STEPS, v1.ListStepsResponse(steps=[STEP], next_page_token="next"), v1.ListStepsResponse())

    chosen = {"agent_id": AGENT_ID, "feedback": v1.STEP_FEEDBACK_POSITIVE, "tags": ["fast"], "page_size": 1}
    assert await asker.every("steps", **chosen) == [STEP]

    wanted = v1.ListStepsRequest(
        agent_id=AGENT_ID, feedback=v1.STEP_FEEDBACK_POSITIVE, tags=["fast"], page_size=1, page_token="next"
    )
    assert server.asked(v1.ListStepsRequest)[1] == wanted


async def test_what_somebody_thinks_of_a_step_is_sent_again_until_it_is_known(
    asker: Asker, server: ScriptedServer
) -> None:
    server.plan(methods.UPDATE_STEP_FEEDBACK, UNAVAILABLE, STEP, STEP)

    assert await asker.call("set_step_feedback", STEP_ID, v1.STEP_FEEDBACK_POSITIVE, tags=["fast"]) == STEP
    assert await asker.call("set_step_feedback", STEP_ID, v1.STEP_FEEDBACK_UNSPECIFIED) == STEP

    first, second, third = server.asked(v1.UpdateStepFeedbackRequest)
    assert first == second
    assert (first.feedback, list(first.tags.values)) == (v1.STEP_FEEDBACK_POSITIVE, ["fast"])
    assert not third.HasField("tags")


async def test_messages_of_a_step_and_one_by_one_are_read(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.LIST_STEP_MESSAGES, UNAVAILABLE, v1.ListStepMessagesResponse(messages=[MESSAGE]))
    server.plan(methods.GET_MESSAGE, UNAVAILABLE, v1.GetMessageResponse(messages=[MESSAGE]))

    assert list(await asker.call("step_messages", STEP_ID)) == [MESSAGE]
    assert list(await asker.call("get_message", MESSAGE_ID)) == [MESSAGE]

    assert server.asked(v1.ListStepMessagesRequest)[0].step_id == STEP_ID
    assert server.asked(v1.GetMessageRequest)[0].message_id == MESSAGE_ID


async def test_messages_of_a_run_are_listed_in_the_order_asked_for(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.LIST_RUN_MESSAGES, v1.ListRunMessagesResponse(messages=[MESSAGE]))

    assert await asker.every("run_messages", RUN_ID, order_by="position desc") == [MESSAGE]

    wanted = v1.ListRunMessagesRequest(run_id=RUN_ID, order_by="position desc")
    assert server.asked(v1.ListRunMessagesRequest) == [wanted]


async def test_a_run_is_deleted(asker: Asker, command: Command, server: ScriptedServer) -> None:
    server.plan(methods.DELETE_RUN, v1.DeleteRunResponse(), v1.DeleteRunResponse())

    assert await asker.call("delete_run", RUN_ID) is None
    assert (await command("runs", "rm", RUN_ID)).exit_code == 0

    assert server.asked(v1.DeleteRunRequest) == [v1.DeleteRunRequest(run_id=RUN_ID)] * 2
