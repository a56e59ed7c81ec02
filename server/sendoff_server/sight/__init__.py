"""What a server tells of itself: metrics for Prometheus, and a log line for each change of a run."""
