"""The Python client of Sendoff."""
