"""The asyncio client: the rooms of `calls/` as one.

`client.py` has the same for threads; what both decide is decided in the modules that they share.
"""

from __future__ import annotations

from sendoff.calls.agents import AsyncAgentCalls
from sendoff.calls.blocks import AsyncBlockCalls
from sendoff.calls.callbacks import AsyncCallbackCalls
from sendoff.calls.contexts import AsyncContextCalls
from sendoff.calls.conversations import AsyncConversationCalls
from sendoff.calls.deliveries import AsyncPullCalls
from sendoff.calls.files import AsyncFileCalls
from sendoff.calls.messages import AsyncMessageCalls
from sendoff.calls.server import AsyncServerCalls
from sendoff.calls.steps import AsyncStepCalls
from sendoff.calls.tools import AsyncToolCalls
from sendoff.calls.turns import AsyncTurnCalls


class AsyncClient(
    AsyncTurnCalls,
    AsyncStepCalls,
    AsyncAgentCalls,
    AsyncFileCalls,
    AsyncConversationCalls,
    AsyncContextCalls,
    AsyncMessageCalls,
    AsyncBlockCalls,
    AsyncToolCalls,
    AsyncCallbackCalls,
    AsyncPullCalls,
    AsyncServerCalls,
):
    """A connection to Sendoff, for asyncio. Belongs to the event loop of its first call, and connects with it.

    Every call has a deadline: `timeout_s` of the call, or the client's. Calls that can be repeated without harm
    are, within that deadline, when no server answered or the server asked for it. Errors are those of
    `sendoff.errors`. Cancelling a task that waits in a call cancels the call.
    """
