"""Secrets that callers have the server keep, unreadable for whoever has the database without the key."""
