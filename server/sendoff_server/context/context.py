"""What the model is shown: the system prompt, the conversation so far, the new input, and what the run has done since.

Of the conversation it is shown what the newest compaction kept, behind the summary that stands for the rest. That may
have been a compaction of the run itself: a long run leaves its own beginning behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from sendoff import v1
from sendoff_server.body import Done, Work
from sendoff_server.context import tokens
from sendoff_server.context.boundaries import from_a_turn_on
from sendoff_server.context.history_memory import HistoryMemory, Measured
from sendoff_server.context.pictures import may_show
from sendoff_server.context.skills import with_skills
from sendoff_server.context.summary import as_told, is_reset
from sendoff_server.lifecycle import began, turn_began
from sendoff_server.store.questions import History

MAX_HISTORY_BYTES = 16 * 1024 * 1024
"""Of a conversation since its newest compaction. Only pictures, or a sudden change to a small model, come near it."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a model is shown."""

    system: str
    tool_tokens: int = 0
    """What the tools take that it is told of."""
    summary: v1.Message | None = None
    """What stands for earlier entries, as the model reads it."""
    history: Sequence[v1.Message] = ()
    """What may become part of a summary, oldest first: entries of earlier runs and, once the model has answered in this
    run, of this one too."""
    input: Sequence[v1.Message] = ()
    """What may not: the run's input, until the model has answered it."""
    is_whole: bool = True
    """False: there are older entries that nothing here stands for."""
    is_plain: bool = False
    """True: no entry refers to a picture. False: nobody has looked, or one does."""
    newest_position: int = 0
    """Of all entries of the conversation, shown or not."""

    @property
    def messages(self) -> list[v1.Message]:
        summary = [self.summary] if self.summary else []
        return [*summary, *self.history, *self.input]

    @cached_property
    def system_tokens(self) -> int:
        """What is there in front of all messages."""
        return tokens.of_text(self.system) + self.tool_tokens

    @cached_property
    def fixed_tokens(self) -> int:
        """What is always there: system prompt, tools and input."""
        return self.system_tokens + tokens.of_entries(self.input)

    @property
    def estimated_tokens(self) -> int:
        return self.system_tokens + tokens.of_entries(self.messages)


def system_prompt(agent: v1.Agent, request: v1.CreateMessageAsyncRequest, sections: Sequence[str] = ()) -> str:
    """The request's own system prompt alone, word for word, or the agent's, with sections behind it and the skills that
    the request names."""
    if request.HasField("override_system"):
        return request.override_system
    said = "\n\n".join([agent.system, *sections]) if sections else agent.system
    return with_skills(said, request.client_skills)


async def past_of(memory: HistoryMemory, work: Work, *, resumed: bool) -> History:
    """What the conversation holds of earlier runs. `resumed`: another process, now gone, had begun the run."""
    return await memory.before(work.lane, began(work.seq), MAX_HISTORY_BYTES, resumed=resumed)


def of_turn(past: History, work: Work) -> History:
    """The past without what was before the turn that the run belongs to."""
    first = turn_began(work.seq)
    messages = [entry for entry in past.messages if entry.position >= first]
    is_own = past.compaction is not None and past.compaction.position >= first
    return History(messages, is_whole=True, compaction=past.compaction if is_own else None, is_plain=past.is_plain)


def assembled(past: History, done: Done, work: Work, system: str, tool_tokens: int = 0) -> Context:
    """The context of the next model call."""
    own = sorted(done.entries, key=lambda entry: entry.position)
    given = () if done.answered else work.input
    newest = next((entry for entry in reversed(own) if entry.HasField("context_start")), past.compaction)
    last = (*past.messages[-1:], *own[-1:], *given[-1:])
    history = [*past.messages, *_without(own, given)]
    return Context(
        system=system,
        tool_tokens=tool_tokens,
        summary=as_told(newest) if newest and not is_reset(newest) else None,
        history=_kept(history, newest) if newest else from_a_turn_on(history),
        input=given,
        is_whole=past.is_whole or newest is not past.compaction,
        is_plain=past.is_plain and not any(map(may_show, (*own, *given))),
        newest_position=max((entry.position for entry in last), default=0),
    )


def ids_shown(past: History) -> list[str]:
    """Ids of the messages that a model would be shown of a conversation, the summary's in front; each once."""
    newest = past.compaction
    shown = _kept(past.messages, newest) if newest else from_a_turn_on(past.messages)
    summary = [newest.id] if newest and not is_reset(newest) else []
    return list(dict.fromkeys([*summary, *(entry.id for entry in shown)]))


def _without(own: Sequence[v1.Message], given: Sequence[v1.Message]) -> Sequence[v1.Message]:
    """The run's own entries but for the input."""
    if len(own) == len(given):  # the input is all that there is
        return ()
    positions = {entry.position for entry in given}
    return [entry for entry in own if entry.position not in positions]


def _kept(entries: Sequence[v1.Message], compaction: v1.Message) -> list[v1.Message]:
    start = compaction.context_start
    return [entry for entry in entries if entry.position >= start and _is_shown(entry)]


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
    system = context.system_tokens - measured.system_tokens
    return measured.tokens + system + tokens.of_entries(newer) + tokens.of_entries(context.input)
