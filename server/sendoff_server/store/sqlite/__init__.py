"""The engine for one process: a SQLite file, written by one thread.

A batch costs a near-constant number of statements, because every statement gives the interpreter lock away and gets it
back late from a busy event loop: `snapshot` reads all that the batch refers to, `store/batch` decides over plain
objects, and `write` puts what changed into the tables with multi-row statements.
"""
