"""What the model is shown: the system prompt, the conversation so far, the new input."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.agents.conversations import Conversations
from sendoff_server.agents.skills import with_skills
from sendoff_server.body import Work
from sendoff_server.store.port import POSITION_SHIFT

BYTES_PER_TOKEN = 4
"""A cautious guess for text, where the model's own count is not known."""
SHARE_FOR_HISTORY = 0.7
"""Of the window; the rest is for system prompt, input and answer."""
UNKNOWN_WINDOW_TOKENS = 32_000


def system_prompt(agent: v1.Agent, request: v1.CreateMessageAsyncRequest) -> str:
    """The request's own system prompt alone, word for word, or the agent's and the skills that the request names."""
    if request.HasField("override_system"):
        return request.override_system
    return with_skills(agent.system, request.client_skills)


async def conversation(conversations: Conversations, work: Work, model: v1.Model, *, resumed: bool) -> list[v1.Message]:
    """The newest messages of earlier runs that fit into the model's window, oldest first, then the input."""
    window = model.context_window or UNKNOWN_WINDOW_TOKENS
    budget = int(window * SHARE_FOR_HISTORY * BYTES_PER_TOKEN)
    history = await conversations.before(work.lane, work.seq << POSITION_SHIFT, budget, resumed=resumed)
    return [*_from_a_turn_on(history.messages), *work.input]


_ANSWERS = ("assistant_message", "reasoning_message", "hidden_reasoning_message")


def _from_a_turn_on(history: Sequence[v1.Message]) -> Sequence[v1.Message]:
    """History cut to begin where somebody speaks to the agent: providers refuse to begin with an answer."""
    spoken = (index for index, message in enumerate(history) if message.WhichOneof("kind") not in _ANSWERS)
    return history[next(spoken, len(history)) :]
