-- oldest program: 4
-- How many runs a replica executes at once; NULL: its program did not tell.
ALTER TABLE replica ADD COLUMN slots integer;
