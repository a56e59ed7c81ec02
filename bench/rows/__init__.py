"""The measurements, each a module with `measure(lab)` that returns its rows."""
