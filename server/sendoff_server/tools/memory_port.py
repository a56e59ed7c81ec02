"""What the built-in tools ask of an agent's memory, whoever keeps it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sendoff import v1


class EditRefused(Exception):
    """The block cannot be changed so; the message says why and what to do."""


class LabelUnknown(Exception):
    """The agent has no memory block of that label."""

    def __init__(self, label: str, labels: Sequence[str]) -> None:
        """`labels`: those that it has."""
        super().__init__(label)
        self.label = label
        self.labels = labels


class MemoryUnavailable(Exception):
    """The memory cannot be reached now. Nothing was changed."""


class Blocks(Protocol):
    """The memory blocks of agents."""

    async def edit(
        self, tenant: str, agent_id: str, label: str, new_value: Callable[[v1.Block], str], *, change: str
    ) -> v1.Block:
        """Give the agent's block of that label a new value, once for each name of a change, however often it is asked
        for; the block as it is then.

        `new_value` makes the value from the block, or raises EditRefused, and is called again when somebody else has
        changed the block meanwhile. Raises LabelUnknown, MemoryUnavailable, and EditRefused unless the change was made
        before.
        """
        ...


class Messages(Protocol):
    """The messages of conversations."""

    async def before(self, tenant: str, lane: str, position: int, limit: int) -> Sequence[v1.Message]:
        """Up to `limit` messages of a lane before that position, newest first; none when there are none."""
        ...
