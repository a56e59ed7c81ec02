"""Pauses of dispatch, through both clients and the command."""

from __future__ import annotations

import json

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import methods, v1
from tests.unit.client.commanding import Command
from tests.unit.client.scripted_server import AGENT_ID, UNAVAILABLE, Asker, ScriptedServer

MOMENT = Timestamp(seconds=1_700_000_000)
OF_AGENT = v1.DispatchPause(agent_id=AGENT_ID, reason="night", create_time=MOMENT)
OF_KEY = v1.DispatchPause(fairness_key="batch", create_time=MOMENT)
EVERYTHING = v1.DispatchPause(create_time=MOMENT)


async def test_a_pause_is_asked_for_again_until_it_is_known(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.PAUSE_DISPATCH, UNAVAILABLE, OF_AGENT, EVERYTHING)
    server.plan(methods.RESUME_DISPATCH, UNAVAILABLE, v1.ResumeDispatchResponse(was_paused=True))
    server.plan(methods.LIST_DISPATCH_PAUSES, UNAVAILABLE, v1.ListDispatchPausesResponse(pauses=[OF_AGENT, OF_KEY]))

    assert await asker.call("pause_dispatch", agent_id=AGENT_ID, reason="night") == OF_AGENT
    assert await asker.call("pause_dispatch") == EVERYTHING
    assert await asker.call("resume_dispatch", fairness_key="batch") is True
    assert list(await asker.call("dispatch_pauses")) == [OF_AGENT, OF_KEY]

    wanted = v1.PauseDispatchRequest(agent_id=AGENT_ID, reason="night")
    assert server.asked(v1.PauseDispatchRequest) == [wanted, wanted, v1.PauseDispatchRequest()]
    assert server.asked(v1.ResumeDispatchRequest) == [v1.ResumeDispatchRequest(fairness_key="batch")] * 2


async def test_the_command_pauses_resumes_and_lists(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.PAUSE_DISPATCH, OF_KEY, OF_AGENT)
    server.plan(methods.RESUME_DISPATCH, v1.ResumeDispatchResponse(was_paused=True), v1.ResumeDispatchResponse())
    pauses = v1.ListDispatchPausesResponse(pauses=[OF_AGENT, OF_KEY, EVERYTHING])
    server.plan(methods.LIST_DISPATCH_PAUSES, pauses, pauses)

    paused = await command("dispatch", "pause", "--key", "batch")
    as_json = await command("dispatch", "pause", "--agent", AGENT_ID, "--reason", "night", "--json")
    resumed = [(await command("dispatch", "resume", *words)).stderr for words in (("--key", "batch"), ())]
    lines = (await command("dispatch", "ls")).stdout.splitlines()
    in_json = (await command("dispatch", "ls", "--json")).stdout.splitlines()

    assert paused.stderr == "key batch paused since 2023-11-14 22:13:20Z\n"
    assert json.loads(as_json.stdout)["reason"] == "night"
    assert resumed == ["resumed\n", "it was not paused\n"]
    assert [line.split("\t")[0] for line in lines[-3:]] == [AGENT_ID, "key batch", "everything"]
    assert [json.loads(line).get("fairness_key") for line in in_json] == [None, "batch", None]
    assert server.asked(v1.PauseDispatchRequest)[1] == v1.PauseDispatchRequest(agent_id=AGENT_ID, reason="night")
    assert server.asked(v1.ResumeDispatchRequest)[1] == v1.ResumeDispatchRequest()
