"""What the clients can do, a room for each noun, with the blocking calls and their asyncio twins side by side.

A room says which arguments a call takes and what comes back. Requests are built in `sendoff.requests`, pages turned in
`sendoff.paging`; how a call is made, repeated and given up stands in `caller.py` and `async_caller.py`.
"""
