"""Whatever address a caller names, in whatever place, the whole server connects to nothing that the guard forbids."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import grpc
import grpc.aio
import pytest

from sendoff import v1
from sendoff_server import app
from sendoff_server.outgoing import fetcher, sender
from sendoff_server.settings import ProviderSettings, Settings
from tests.faults.caller import Caller, calling, refused
from tests.fixtures.connects import Connects
from tests.fixtures.fake_providers import FakeProviders, fake_providers
from tests.fixtures.receiver import Receiver
from tests.service.callback_desk import Desk
from tests.unit.outgoing.hostile import TABLE
from tests.unit.outgoing.names import LikeTheSystem

MODEL = "vllm/small"
"""At a place that the operator told, so that the server gets pictures for it."""
Told = TypeVar("Told")


@pytest.fixture
async def provider() -> AsyncIterator[FakeProviders]:
    async with fake_providers() as running:
        yield running


@pytest.fixture
def strict(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The server may reach no address on a caller's word but public ones; names lead to others."""
    names = LikeTheSystem(("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1%2"))
    monkeypatch.setattr(fetcher, "HttpFetcher", partial(fetcher.HttpFetcher, look_up=names))
    monkeypatch.setattr(sender, "HttpSender", partial(sender.HttpSender, look_up=names))
    return settings.model_copy(update={"callback_networks": "none"})


@asynccontextmanager
async def before(settings: Settings, provider: FakeProviders) -> AsyncIterator[Caller]:
    providers = ProviderSettings.model_construct(
        openai_api_key=None,
        openai_base_url=None,
        anthropic_api_key=None,
        anthropic_base_url=None,
        vllm_base_url=f"{provider.url}/v1",
    )
    async with app.running(settings, providers) as server, calling(server.grpc.address) as caller:
        yield caller


def look(*urls: str) -> v1.Content:
    images = [v1.ContentPart(image=v1.Image(url=v1.Image.Url(url=url))) for url in urls]
    return v1.Content(parts=v1.Content.Parts(parts=[v1.ContentPart(text=v1.Text(text="Look")), *images]))


async def accepted(call: grpc.aio.UnaryUnaryCall[Any, Told]) -> Told | None:
    """The answer; None if the URL was refused."""
    match await call.code():
        case grpc.StatusCode.OK:
            return await call
        case grpc.StatusCode.INVALID_ARGUMENT:
            return None
        case code:
            pytest.fail(f"{code}: {await call.details()}")


Names = Callable[[Caller, Sequence[str]], Awaitable[int]]
"""Somebody who names URLs to the server, and waits until it has tried them: how many it took."""


async def by_callback(caller: Caller, urls: Sequence[str]) -> int:
    agent_id = await caller.agent(MODEL)
    told = v1.Content(text="Hi")
    once = [url for url in urls if not url.startswith("https")]  # two for one receiver would wait for each other
    asked = [v1.CreateMessageAsyncRequest(agent_id=agent_id, input=told, callback_url=url) for url in once]
    runs = [run for each in asked if (run := await accepted(caller.runs.CreateMessageAsync(each)))]
    for run in runs:
        await caller.called_back(run.id)
    return len(runs)


async def by_picture(caller: Caller, urls: Sequence[str]) -> int:
    agent_id = await caller.agent(MODEL)
    asked = [v1.CreateMessageAsyncRequest(agent_id=agent_id, input=look(url)) for url in urls]
    runs = [run for each in asked if (run := await accepted(caller.runs.CreateMessageAsync(each)))]
    for run in runs:
        assert (await caller.ended(run.id)).status == v1.RUN_STATUS_FAILED
    return len(runs)


async def by_endpoint(caller: Caller, urls: Sequence[str]) -> int:
    asked = [v1.CreateEndpointRequest(endpoint=v1.CallbackEndpoint(url=url)) for url in urls if url]
    made = [told for each in asked if (told := await accepted(caller.callbacks.CreateEndpoint(each)))]
    desk = Desk(caller)
    for told in made:
        attempt = await desk.test(told.endpoint.id)
        assert attempt.error
        assert not attempt.HasField("status_code")
    return len(made)


async def by_changed_endpoint(caller: Caller, urls: Sequence[str]) -> int:
    """One that had a good URL, and gets a run's end at each of the others."""
    desk = Desk(caller)
    endpoint_id = (await desk.create(url="https://8.8.8.8/", event_types=["run.finished"], disabled=True)).endpoint.id
    taken = 0
    for url in filter(None, urls):
        wanted = v1.UpdateEndpointRequest(endpoint_id=endpoint_id, endpoint=v1.CallbackEndpoint(url=url))
        wanted.update_mask.paths.append("url")
        if await accepted(caller.callbacks.UpdateEndpoint(wanted)):
            taken += 1
            assert (await desk.test(endpoint_id)).error
    return taken


@pytest.mark.parametrize("names", [by_callback, by_picture, by_endpoint, by_changed_endpoint])
async def test_whatever_a_caller_names_the_server_connects_to_nothing_forbidden(
    strict: Settings, provider: FakeProviders, connects: Connects, names: Names
) -> None:
    async with before(strict, provider) as caller:
        taken = await names(caller, [hostile.url for hostile in TABLE])
    port = int(provider.url.rpartition(":")[2])
    assert [each for each in connects if isinstance(each, tuple) and each[1] != port] == []
    assert 10 < taken < len(TABLE) / 2, "what tells by itself is refused; names are looked at when they are resolved"


async def test_a_picture_s_address_that_tells_by_itself_is_refused_with_its_place(
    strict: Settings, provider: FakeProviders
) -> None:
    async with before(strict, provider) as caller:
        asked = look("data:image/png;base64,eA==", "http://10.0.0.1/")
        request = v1.CreateMessageAsyncRequest(agent_id=await caller.agent(MODEL), input=asked)
        told = await refused(caller.runs.CreateMessageAsync(request))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert told.fields == ["input.parts.parts[2].image.url.url"]


async def test_one_set_of_networks_is_for_callbacks_and_for_pictures(
    settings: Settings, provider: FakeProviders, receiver: Receiver
) -> None:
    receiver.acts = ["HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\nmeow"]
    allowed = settings.model_copy(update={"callback_networks": "127.0.0.1/32"})
    async with before(allowed, provider) as caller:
        request = v1.CreateMessageAsyncRequest(
            agent_id=await caller.agent(MODEL), input=look(receiver.url()), callback_url=receiver.url()
        )
        run = await caller.called_back((await caller.runs.CreateMessageAsync(request)).id, done=True)
    assert run.status == v1.RUN_STATUS_COMPLETED
    assert [got.line.split()[0] for got in receiver.got] == ["GET", "POST"]
