-- oldest program: 12
-- How many runs a replica executes at once; NULL: its program did not tell.
ALTER TABLE replica ADD COLUMN slots INTEGER;
