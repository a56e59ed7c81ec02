"""The tools that there are: those that callers put, and those that the server makes.

`server_tools` keeps the latter, `directory` finds both and lays over a tool of the server what its tenant has set of
it, `service` is what callers can do with them.
"""
