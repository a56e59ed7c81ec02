-- By which conversations are listed. NULL: it has none.
ALTER TABLE lane ADD COLUMN last_message_ns INTEGER;  -- when a message was last written to it
ALTER TABLE lane ADD COLUMN last_run_ns INTEGER;      -- when a run of it last ended

-- Neither was noted before. When the newest run that has ended was accepted comes near to both.
UPDATE lane SET last_run_ns = (
  SELECT r.create_time_ns FROM run r WHERE r.lane_no = lane.no AND r.status > 2 ORDER BY r.seq DESC LIMIT 1
);
UPDATE lane SET last_message_ns = last_run_ns;
