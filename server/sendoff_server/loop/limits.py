"""Limits of a run that are looked at between its steps. Pure rules.

A limit keeps a run from going on. It takes nothing back: an answer that ends the run is its end, whatever it has cost.
"""

from __future__ import annotations

from sendoff import v1
from sendoff_server.body import Done, End

DEFAULT_MAX_STEPS = 50


def reached(request: v1.CreateMessageAsyncRequest, done: Done) -> End | None:
    """The end of a run that would go on and must not."""
    if done.steps >= max_steps(request):
        return End(v1.STOP_REASON_MAX_STEPS)
    return _overspent(request.limits, done.usage)


def max_steps(request: v1.CreateMessageAsyncRequest) -> int:
    """The smaller one of the two that a request may set."""
    limits = request.limits
    asked = [request.max_steps] if request.HasField("max_steps") else []
    asked += [limits.max_steps] if limits.HasField("max_steps") else []
    return min(asked, default=DEFAULT_MAX_STEPS)


def _overspent(limits: v1.Limits, used: v1.Usage) -> End | None:
    if limits.HasField("max_total_tokens") and used.total_tokens >= limits.max_total_tokens:
        return _end("max_total_tokens", limits.max_total_tokens, used.total_tokens, "tokens")
    if limits.HasField("max_cost_microusd") and used.cost_microusd >= limits.max_cost_microusd:
        return _end("max_cost_microusd", limits.max_cost_microusd, used.cost_microusd, "millionths of a US dollar")
    return None


def _end(name: str, most: int, used: int, unit: str) -> End:
    told = f"the run has used {used} {unit} of the {most} that it may, and was not done; what it had finished is kept"
    error = v1.RunError(reason="BUDGET_EXCEEDED", message=told, metadata={name: str(most), "used": str(used)})
    return End(v1.STOP_REASON_BUDGET_EXCEEDED, error)
