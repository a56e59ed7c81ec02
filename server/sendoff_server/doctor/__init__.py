"""`sendoff-server doctor`: looks at all that a server with these settings would need, and says what to mend."""
