"""The load generator: a process of its own that calls a server, ours or the bare one, and tells what it saw."""
