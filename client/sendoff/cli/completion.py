"""Completes ids from the server in the shell: quickly, and without a word when that does not work."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeAlias

import typer

from sendoff.cli import wording
from sendoff.cli.session import Session
from sendoff.client import Client
from sendoff.retry import RetryPolicy

Found: TypeAlias = "Iterable[tuple[str, str]]"
"""Words, and what each is, for shells that show it."""
Complete: TypeAlias = Callable[[typer.Context, str], list[tuple[str, str]]]

_PATIENCE_S = 1.0
_LOOKED_THROUGH = 200
_MOST_SHOWN = 50


def from_server(find: Callable[[Client], Found]) -> Complete:
    """A completion of what is found with a client. Nothing, where no server answers at once or it refuses."""

    def complete(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        try:
            with _client(context) as client:
                found = islice(find(client), _LOOKED_THROUGH)
                return list(islice((each for each in found if each[0].startswith(incomplete)), _MOST_SHOWN))
        except Exception:  # whatever it is, it must not be written into a line that somebody types
            return []

    return complete


def _client(context: typer.Context) -> Client:
    """As the options say that stand before the command, or the environment."""
    given: dict[str, Any] = dict(context.find_root().params)
    given.pop("timeout", None)
    options = Session(timeout_s=_PATIENCE_S, **given)
    return Client(
        options.address, timeout_s=_PATIENCE_S, retry=RetryPolicy(max_attempts=1), **options.connection_options()
    )


def _runs(client: Client) -> Found:
    for run in client.runs(page_size=_LOOKED_THROUGH):
        yield run.id, f"{wording.status(run.status)}, {wording.moment(run.create_time)}"


def _steps(client: Client) -> Found:
    return ((step.id, f"of {step.run_id}") for step in client.steps(page_size=_LOOKED_THROUGH))


def _agents(client: Client) -> Found:
    return ((agent.id, agent.name) for agent in client.agents(page_size=_LOOKED_THROUGH))


def _conversations(client: Client) -> Found:
    return ((each.id, each.summary or each.agent_id) for each in client.conversations(page_size=_LOOKED_THROUGH))


def _blocks(client: Client) -> Found:
    return ((block.id, block.label) for block in client.blocks())


def _tools(client: Client) -> Found:
    for tool in client.tools(page_size=_LOOKED_THROUGH):
        yield tool.name, wording.tool_type(tool)
        yield tool.id, tool.name


def _tool_ids(client: Client) -> Found:
    return ((tool.id, tool.name) for tool in client.tools(page_size=_LOOKED_THROUGH))


def _files(client: Client) -> Found:
    return ((file.id, file.name) for file in client.files(page_size=_LOOKED_THROUGH))


def _endpoints(client: Client) -> Found:
    return ((each.id, each.description or each.url) for each in client.endpoints(page_size=_LOOKED_THROUGH))


def _deliveries(client: Client) -> Found:
    return ((each.id, each.event_type) for each in client.deliveries(page_size=_LOOKED_THROUGH))


def _models(client: Client) -> Found:
    return ((model.handle, "") for model in client.models().models)


run_ids = from_server(_runs)
step_ids = from_server(_steps)
agent_ids = from_server(_agents)
conversation_ids = from_server(_conversations)
block_ids = from_server(_blocks)
tools = from_server(_tools)
tool_ids = from_server(_tool_ids)
file_ids = from_server(_files)
endpoint_ids = from_server(_endpoints)
delivery_ids = from_server(_deliveries)
models = from_server(_models)
