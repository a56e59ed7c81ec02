"""What each kind of provider is really sent, body by body.

`expectations/` has a file for each conversation, with the whole request body that chat completions, the Responses API
and Anthropic get. The bodies are pinned: they were taken from what is sent, then read and checked by hand. A change of
the library or of ours that changes one fails here, and is to be read again beside the provider's public reference.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from sendoff_server.models.hosted import HostedProvider
from tests.fixtures.fake_providers import FakeProviders, fake_providers
from tests.unit.models.asking import ask
from tests.unit.models.conversations import CONVERSATIONS
from tests.unit.models.test_library import Provide, anthropic, compatible, responses

FOLDER = Path(__file__).parent / "expectations"
PROVIDERS: dict[str, tuple[Provide, str]] = {
    "chat": (compatible, "model-1"),
    "responses": (responses, "gpt-5-mini"),
    "anthropic": (anthropic, "claude-haiku-4-5"),
}
"""With the name of a model that reasons, where the library knows such names."""


@pytest.fixture(scope="module")
async def providers() -> AsyncIterator[tuple[FakeProviders, dict[str, HostedProvider]]]:
    """Made once, because that takes half a second each."""
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(fake_providers())
        made = {dialect: provide(fake) for dialect, (provide, _) in PROVIDERS.items()}
        for provider in made.values():
            stack.push_async_callback(provider.aclose)
        yield fake, made


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("dialect", PROVIDERS)
async def test_a_provider_is_sent_the_body_that_was_read_and_found_right(
    providers: tuple[FakeProviders, dict[str, HostedProvider]], dialect: str, conversation: str
) -> None:
    expected = json.loads((FOLDER / f"{conversation.replace(' ', '_')}.json").read_text())[dialect]
    fake, made = providers
    provider, name = made[dialect], PROVIDERS[dialect][1]
    await ask(provider.model(name), replace(CONVERSATIONS[conversation], handle=f"{provider.name}/{name}"))
    assert fake.last.body == expected


def test_every_expectation_belongs_to_a_conversation() -> None:
    assert {path.stem.replace("_", " ") for path in FOLDER.iterdir()} == set(CONVERSATIONS)
