"""What becomes of a batch, whatever the engine.

An engine reads all that the items refer to (`mentions`) into plain objects (`snapshot`), so that nobody else changes it
meanwhile; `decide` walks the items in order over these and tells what is to be written; the engine writes that down in
one transaction. No database here.
"""
