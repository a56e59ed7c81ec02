"""Tools that run at the caller, made of Python functions.

`shapes.py` and `structures.py` read type hints: the JSON Schema that the model is shown, and the way back from its
arguments. `docstrings.py` reads what a tool and its arguments are for. `functions.py` makes a tool of these, and
`outcomes.py` tells the model what came of a call.
"""
