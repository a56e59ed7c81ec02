"""Runs as they go on, on a terminal."""
