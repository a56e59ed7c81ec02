"""What conversations hold for the model, at hand.

Every run needs the history of its conversation, and reading it from the store costs more than all else that a short
run does, and more with every run. So what was read or written lately is remembered, within a bound. That is right
only where no other process writes to the store, which the store tells; where others do, every run reads.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from sendoff import v1
from sendoff_server.context.pictures import may_show
from sendoff_server.store.items import Item, Progress, Recorded, Result
from sendoff_server.store.port import Store
from sendoff_server.store.questions import History

MAX_BYTES = 32 * 1024 * 1024
"""Of all conversations that are remembered."""


@dataclass(frozen=True, slots=True)
class Measured:
    """How much of a model's window a conversation took, as the provider counted."""

    handle: str
    position: int
    """Of the newest entry that was counted."""
    system_tokens: int
    """Of the system prompt, as we estimate it; it was counted too."""
    tokens: int


class Remembered:
    """The newest messages of one conversation, oldest first, as many as fit into a budget."""

    def __init__(self, history: History, budget: int) -> None:
        self.budget = budget
        self.size = 0
        self.measured: Measured | None = None
        self._is_whole = history.is_whole
        self._compaction = history.compaction
        self._messages: deque[v1.Message] = deque()
        self._showing = 0
        """How many of them may refer to pictures."""
        self.add(history.messages)

    def is_of(self, agent_id: str) -> bool:
        return bool(self._messages) and self._messages[0].agent_id == agent_id

    @property
    def newest_position(self) -> int:
        return self._messages[-1].position if self._messages else -1

    def add(self, messages: Sequence[v1.Message]) -> None:
        for message in messages:
            self._messages.append(message)
            self.size += message.ByteSize()
            self._showing += may_show(message)
        while self.size > self.budget:
            self._is_whole = False
            gone = self._messages.popleft()
            self.size -= gone.ByteSize()
            self._showing -= may_show(gone)
            if gone is self._compaction:
                self._compaction = None

    def before(self, position: int, max_bytes: int) -> History:
        """The newest messages before that position that fit."""
        found = list(self._messages)
        while found and found[-1].position >= position:
            found.pop()
        if self.size <= max_bytes:
            return History(found, self._is_whole, self._compaction, not self._showing)
        newest = _newest(found, max_bytes)
        compaction = self._compaction if any(message is self._compaction for message in newest) else None
        return History(newest, self._is_whole and len(newest) == len(found), compaction, not self._showing)


def _changes_what_was(item: Progress, remembered: Remembered) -> bool:
    """Whether it does more than add entries behind those that are remembered."""
    position = remembered.newest_position
    for message in item.messages:
        if message.HasField("context_start") or message.position <= position:
            return True
        position = message.position
    return False


def _newest(messages: list[v1.Message], max_bytes: int) -> list[v1.Message]:
    for index in range(len(messages) - 1, -1, -1):
        max_bytes -= messages[index].ByteSize()
        if max_bytes < 0:
            return messages[index + 1 :]
    return messages


class HistoryMemory:
    """History of conversations."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._remembered: OrderedDict[str, Remembered] = OrderedDict()
        self._size = 0

    async def before(self, lane: str, position: int, max_bytes: int, *, resumed: bool = False) -> History:
        """What the store's `history` gives: the newest messages of a lane before that position, from the newest
        compaction on, as many whole ones as fit.

        To be called only by whoever executes the lane's head, so that nothing is written to the lane meanwhile.
        `resumed`: this run has written to the lane before, in a process that is gone, so what comes before it is not
        all there is to remember.
        """
        if resumed or not self._store.is_alone:
            self.forget(lane)
            return await self._store.history(lane, position, max_bytes)
        remembered = self._remembered.get(lane)
        if remembered is None or remembered.budget < max_bytes:
            history = await self._store.history(lane, position, max_bytes)
            remembered = self._remember(lane, Remembered(history, max_bytes))
        else:
            self._remembered.move_to_end(lane)
        return remembered.before(position, max_bytes)

    def measured(self, lane: str) -> Measured | None:
        """The newest count of what `before` gives; None if nobody counted since the lane was last compacted."""
        remembered = self._remembered.get(lane)
        return remembered.measured if remembered else None

    def note(self, lane: str, measured: Measured) -> None:
        """A provider has counted a lane. Forgotten with its messages."""
        remembered = self._remembered.get(lane)
        if remembered is not None:
            remembered.measured = measured

    def on_result(self, item: Item, result: Result) -> None:
        """Called for every item that is durable, in order."""
        if not isinstance(result, Recorded) or not isinstance(item, Progress):
            return
        remembered = self._remembered.get(item.lane)
        if remembered is None:
            return
        if item.left_out or _changes_what_was(item, remembered):
            self.forget(item.lane)  # which is rare: what it leaves is read anew
        elif item.messages:
            self._size -= remembered.size
            remembered.add(item.messages)
            self._size += remembered.size
            self._keep_within_bounds()

    def forget(self, lane: str) -> None:
        remembered = self._remembered.pop(lane, None)
        if remembered is not None:
            self._size -= remembered.size

    def forget_agent(self, agent_id: str) -> None:
        """The agent is deleted, with all its lanes."""
        for lane in [lane for lane, remembered in self._remembered.items() if remembered.is_of(agent_id)]:
            self.forget(lane)

    def _remember(self, lane: str, remembered: Remembered) -> Remembered:
        self.forget(lane)
        self._remembered[lane] = remembered
        self._size += remembered.size
        self._keep_within_bounds()
        return remembered

    def _keep_within_bounds(self) -> None:
        while self._size > MAX_BYTES and len(self._remembered) > 1:
            _, oldest = self._remembered.popitem(last=False)
            self._size -= oldest.size
