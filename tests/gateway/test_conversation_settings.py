"""What a conversation is set to through the official client is told back, and wins over its agent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import letta_client
import pytest

from sendoff_server.app import Server
from tests.faults.caller import script
from tests.fixtures.server import Serve
from tests.gateway.sdk import EACH_WAY, Kind, Sdk, connected, ended, url


@pytest.fixture(params=EACH_WAY, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve(http_address="127.0.0.1:0") as running:
        yield running


@pytest.fixture
async def sdk(server: Server, kind: Kind) -> AsyncIterator[Sdk]:
    async with connected(url(server), kind) as client:
        yield client


async def reason(server: Server, sdk: Sdk, conversation_id: str, text: str) -> str:
    """Why a run in that conversation ended."""
    said = [{"role": "user", "content": text}]
    events = await sdk.events("conversations.messages.create", conversation_id, messages=said)
    (run_id,) = {event.run_id for event in events if getattr(event, "run_id", None)}
    await ended(server, run_id)
    return str((await sdk("runs.retrieve", run_id)).stop_reason)


async def test_settings_of_a_conversation_win_over_those_of_its_agent(server: Server, sdk: Sdk) -> None:
    own = {"provider_type": "openai", "temperature": 0.25, "max_output_tokens": 50}
    agent = await sdk.agent(model_settings=own)
    wanted = {"provider_type": "openai", "temperature": 0.75}
    made = await sdk("conversations.create", agent_id=agent, model_settings=wanted, context_window_limit=9_000)
    told = await sdk("conversations.retrieve", made.id)
    assert (told.api_model_settings.temperature, told.context_window_limit) == (0.75, 9_000)
    expected = {"temperature": 0.75, "max_output_tokens": 50}
    assert await reason(server, sdk, made.id, script(text="yes", expect_settings=expected)) == "end_turn"


async def test_a_conversation_gives_up_its_settings_for_null(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent(model_settings={"provider_type": "openai", "temperature": 0.25})
    wanted = {"provider_type": "openai", "temperature": 0.75}
    made = await sdk("conversations.create", agent_id=agent, model_settings=wanted, context_window_limit=300)
    told = await sdk("conversations.update", made.id, model_settings=None, context_window_limit=None)
    assert (told.api_model_settings, told.context_window_limit) == (None, None)
    expected = {"temperature": 0.25}
    text = script(text="yes", expect_settings=expected) + " " * 4_000
    assert await reason(server, sdk, made.id, text) == "end_turn"


async def test_a_setting_out_of_range_is_refused_by_name(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent()
    wanted = {"provider_type": "openai", "temperature": 7}
    with pytest.raises(letta_client.UnprocessableEntityError, match=r"model_settings\.temperature"):
        await sdk("conversations.create", agent_id=agent, model_settings=wanted)
