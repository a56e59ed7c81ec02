"""The engine for many replicas: PostgreSQL, which is lock, clock and queue for all of them.

A batch is one transaction. It begins with this replica's own row, which keeps others from declaring it dead meanwhile,
and with the rows of all lanes that it speaks of, locked in the order of their numbers. So what `snapshot` reads stays
true until the commit, `store/batch` decides over it, and `write` writes down what changed with one array a column.

All times that replicas compare are the database's.
"""
