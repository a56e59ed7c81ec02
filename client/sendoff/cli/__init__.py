"""The `sendoff` command: a thin skin over the blocking client. Needs the extra `cli`.

What a command was asked for goes to stdout, all talk about it to stderr, so that an answer can be piped.
"""
