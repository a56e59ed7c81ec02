"""The commands of `sendoff-server`. Heavy parts are imported by those that need them, so that each starts soon."""
