"""What the model is shown: the system prompt, the conversation so far, the new input.

Of the conversation it is shown what the newest compaction kept, behind the summary that stands for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from sendoff import v1
from sendoff_server.agents import tokens
from sendoff_server.agents.boundaries import from_a_turn_on
from sendoff_server.agents.history_memory import HistoryMemory, Measured
from sendoff_server.agents.skills import with_skills
from sendoff_server.agents.summary import as_told
from sendoff_server.body import Work
from sendoff_server.store.port import POSITION_SHIFT, History

MAX_HISTORY_BYTES = 16 * 1024 * 1024
"""Of a conversation since its newest compaction. Only pictures, or a sudden change to a small model, come near it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a model is shown."""

    system: str
    summary: v1.Message | None = None
    """What stands for earlier entries, as the model reads it."""
    history: Sequence[v1.Message] = ()
    """Entries of earlier runs, oldest first."""
    input: Sequence[v1.Message] = ()
    is_whole: bool = True
    """False: there are older entries that nothing here stands for."""
    newest_position: int = 0
    """Of all entries of the conversation, shown or not."""

    @property
    def messages(self) -> list[v1.Message]:
        summary = [self.summary] if self.summary else []
        return [*summary, *self.history, *self.input]

    @property
    def fixed_tokens(self) -> int:
        """What is always there: system prompt and input."""
        return tokens.of_text(self.system) + tokens.of_entries(self.input)

    @property
    def estimated_tokens(self) -> int:
        return tokens.of_text(self.system) + tokens.of_entries(self.messages)


def system_prompt(agent: v1.Agent, request: v1.CreateMessageAsyncRequest) -> str:
    """The request's own system prompt alone, word for word, or the agent's and the skills that the request names."""
    if request.HasField("override_system"):
        return request.override_system
    return with_skills(agent.system, request.client_skills)


async def read(memory: HistoryMemory, work: Work, system: str, *, resumed: bool) -> Context:
    """The context of a run that begins, or of one that a process, now gone, had begun and perhaps compacted."""
    end = (work.seq + 1) << POSITION_SHIFT
    history = await memory.before(work.lane, end, MAX_HISTORY_BYTES, resumed=resumed)
    return assembled(history, work, system)


def assembled(history: History, work: Work, system: str) -> Context:
    began = work.seq << POSITION_SHIFT
    newest = history.compaction
    return Context(
        system=system,
        summary=as_told(newest) if newest else None,
        history=_kept(history, newest, began) if newest else from_a_turn_on(_before(history.messages, began)),
        input=work.input,
        is_whole=history.is_whole,
        newest_position=max((entry.position for entry in (*history.messages[-1:], *work.input)), default=0),
    )


def _before(entries: Sequence[v1.Message], position: int) -> Sequence[v1.Message]:
    """Without the run's own at the end. Looks at no others: a long history is looked through as rarely as can be."""
    end = len(entries)
    while end and entries[end - 1].position >= position:
        end -= 1
    return entries[:end]


def _kept(history: History, compaction: v1.Message, began: int) -> list[v1.Message]:
    start = compaction.context_start
    return [entry for entry in _before(history.messages, began) if entry.position >= start and _is_shown(entry)]


def _is_shown(entry: v1.Message) -> bool:
    return not entry.HasField("context_start") and not entry.HasField("event_message")


def fill(context: Context, handle: str, measured: Measured | None) -> int:
    """How many tokens of the model's window the context takes: what its provider counted last, and a guess of what has
    changed since; or all guessed."""
    if measured is None or measured.handle != handle:
        return context.estimated_tokens
    newer = list(takewhile(lambda entry: entry.position > measured.position, reversed(context.history)))
    counted = context.history[: len(context.history) - len(newer)]
    if not counted or counted[-1].position != measured.position:
        return context.estimated_tokens
    system = tokens.of_text(context.system) - measured.system_tokens
    return measured.tokens + system + tokens.of_entries(newer) + tokens.of_entries(context.input)
