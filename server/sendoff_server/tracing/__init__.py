"""Traces by OpenTelemetry: the only room that knows the library, and loaded only where traces are kept."""
