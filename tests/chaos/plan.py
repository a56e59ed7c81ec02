"""How much of everything a run of the chaos test has."""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is random in it comes from the seed; how processes and the network take turns does not."""

    seed: int
    minutes: float
    """How long requests are sent and faults are done. What is under way then gets its time, and is checked."""
    runs: int
    conversations: int
    senders: int = 24
    watchers: int = 200
    """Runs that are watched from their accept to their end."""
    samplers: int = 4
    """Callers that look at runs all the time, to see whether what they were told stays true."""
    replicas: int = 3
    lease_s: float = 10.0
    """Of the replicas. With another one than theirs they are started by a program that sets it."""
    pause_s: float = 5.0
    """Between two faults, about."""
    kinds: tuple[str, ...] = ()
    """Of the faults, see `faults.KINDS`; empty: all. Each is done once at least, if the time allows."""
    shown: bool = False
    """Tell on the way what is done."""

    @property
    def seconds(self) -> float:
        return self.minutes * 60


def asked(arguments: list[str] | None = None) -> Plan:
    """The plan of a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Break three replicas, their database and their connections at random under load, then check "
        "every promise from the outside. The exit code is 1 if one was broken.",
    )
    parser.add_argument("--minutes", type=float, default=4.0, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of all that is random (default: another each time)")
    parser.add_argument("--runs", type=int, default=2000, help="requests to send (default: %(default)s)")
    parser.add_argument("--conversations", type=int, default=200, help="they are sent to (default: %(default)s)")
    parser.add_argument("--watchers", type=int, default=200, help="runs to watch meanwhile (default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=3, help="server processes (default: %(default)s)")
    parser.add_argument("--pause-s", type=float, default=5.0, help="seconds between faults (default: %(default)s)")
    parser.add_argument("--kinds", type=lambda text: tuple(text.split(",")), default=(), help="only these faults")
    given = vars(parser.parse_args(arguments))
    given["seed"] = random.randrange(1 << 32) if given["seed"] is None else given["seed"]
    return Plan(**given, shown=True)
