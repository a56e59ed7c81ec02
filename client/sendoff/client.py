"""The blocking client: the rooms of `calls/` as one.

`aio.py` has the same for asyncio; what both decide is decided in the modules that they share.
"""

from __future__ import annotations

from sendoff.calls.agents import AgentCalls
from sendoff.calls.blocks import BlockCalls
from sendoff.calls.callbacks import CallbackCalls
from sendoff.calls.contexts import ContextCalls
from sendoff.calls.conversations import ConversationCalls
from sendoff.calls.deliveries import PullCalls
from sendoff.calls.files import FileCalls
from sendoff.calls.messages import MessageCalls
from sendoff.calls.server import ServerCalls
from sendoff.calls.steps import StepCalls
from sendoff.calls.tools import ToolCalls
from sendoff.calls.turns import TurnCalls


class Client(
    TurnCalls,
    StepCalls,
    AgentCalls,
    FileCalls,
    ConversationCalls,
    ContextCalls,
    MessageCalls,
    BlockCalls,
    ToolCalls,
    CallbackCalls,
    PullCalls,
    ServerCalls,
):
    """A connection to Sendoff, for threads. May be shared by threads; connects with the first call.

    Every call has a deadline: `timeout_s` of the call, or the client's. Calls that can be repeated without harm
    are, within that deadline, when no server answered or the server asked for it. Errors are those of
    `sendoff.errors`.
    """
