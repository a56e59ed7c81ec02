"""What is printed at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.cluster import Cluster
from tests.chaos.faults import Faults
from tests.chaos.findings import Findings
from tests.chaos.plan import Plan
from tests.chaos.recovery import Recovery, told
from tests.chaos.world import World

PROMISES = {
    "P1": "accepted is durable",
    "P2": "accepted once",
    "P3": "in order",
    "P4": "terminal is final",
    "P5": "one gap-free log",
    "P6": "history stays valid",
    "P7": "no dead ends",
    "P8": "a tool that may run once runs at most once",
    "P9": "callbacks arrive at least once, signed",
    "P11": "bounded: memory stays flat",
}


@dataclass(frozen=True)
class Report:
    """Of one run of the test."""

    broken: Mapping[str, Sequence[str]]
    """By promise; empty if all were kept."""
    recovery_times_s: Sequence[float]
    text: str

    @classmethod
    def of(
        cls,
        plan: Plan,
        faults: Faults,
        recovery: Recovery,
        replicas: Cluster,
        world: World,
        findings: Findings,
        took_s: float,
    ) -> Report:
        logs = {run_id: each.log for run_id, each in world.runs.items()}
        times_s = recovery.times_s(logs)
        parts = [
            _table("Faults", faults.done),
            _table("Work", {"requests": plan.runs, "conversations": plan.conversations, **findings.counts}),
            f"From kill -9 until a run moves on: {told(times_s)}\n"
            f"  with another replica well all that time: {told(recovery.times_s(logs, well=True))}",
            _memory(replicas),
            _verdict(findings),
            f"{took_s:.0f} s, seed {plan.seed}.",
        ]
        return cls({**findings.broken}, times_s, "\n\n".join(parts))


def _table(title: str, lines: Mapping[str, int]) -> str:
    width = max(map(len, lines), default=0)
    return "\n".join([f"{title}:", *(f"  {name:<{width}}  {count:>7}" for name, count in lines.items() if count)])


def _memory(replicas: Cluster) -> str:
    sizes = [size for replica in replicas.replicas for life in replica.lives for size in life]
    if not sizes:
        return "Memory of a replica: not looked at"
    return f"Memory of a replica: at most {max(sizes) >> 20} MiB"


def _verdict(findings: Findings) -> str:
    broken = findings.broken
    lines = [f"  {name:<4}{what:<46}{_count(len(broken.get(name, ())))}" for name, what in PROMISES.items()]
    lines += [f"  {name:<50}{_count(len(each))}" for name, each in broken.items() if name not in PROMISES]
    seen = [f"{name}: {each}" for name, many in broken.items() for each in many[:5]]
    return "\n".join(["Promises:", *lines, *seen])


def _count(broken: int) -> str:
    return f"BROKEN {broken} times" if broken else "kept"
