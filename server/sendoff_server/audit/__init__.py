"""Who did what, and when. For operators."""
