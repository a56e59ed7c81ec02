"""What was recorded of older servers, by `record.py`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.evolution.contracts import Contract
from tests.evolution.exchanges import Exchange, load

RECORDED = Path(__file__).parent / "recorded"
CONTENTS = RECORDED / "contents.json"
CONTRACT, EXCHANGES = "contract.binpb.gz", "exchanges.jsonl"
"""The files of a recording."""


@dataclass(frozen=True)
class Recording:
    """An older server's contract, and the calls that it was asked, in their order."""

    name: str
    contract: Contract
    exchanges: list[Exchange]


@cache
def recording(name: str) -> Recording:
    folder = RECORDED / name
    return Recording(name, Contract.read(folder / CONTRACT), load(folder / EXCHANGES))


def names() -> list[str]:
    """Oldest first."""
    return list(json.loads(CONTENTS.read_text()))
