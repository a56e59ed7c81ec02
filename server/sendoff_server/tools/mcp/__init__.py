"""Tools at MCP servers that the operator has configured.

`config` reads who they are, `servers` is the `Tools` that calls them, `link` keeps one of them connected, `session`
speaks the protocol over `stdio` or `http`, `listing` and `content` turn what they say into our messages. Only modules
from `session` down load the MCP library, and only when a server is first wanted: it costs most of a second.
"""
