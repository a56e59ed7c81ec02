"""What can be wrong with an MCP server, and the codes by which our transports tell it through the MCP library."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Of one message of a server, a result for example. A larger one is dropped while it comes in."""

# Error codes of JSON-RPC in a range that neither it nor MCP uses.
TOO_LARGE = -39_001
"""The answer was larger than MAX_MESSAGE_BYTES."""
NOT_SENT = -39_002
"""The request did not reach the server, or not a session that it knows: asking again on a new connection is safe."""
LOST = -39_003
"""The connection broke before the answer had come."""


class ServerFailed(Exception):
    """A server does not do its part; the message says why, for people and models, and holds no secrets."""


class NotSent(ServerFailed):
    """The call has not reached the server; another connection may do better."""


class ConnectionLost(ServerFailed):
    """The connection ended before the answer came: nobody knows whether the call took effect."""
