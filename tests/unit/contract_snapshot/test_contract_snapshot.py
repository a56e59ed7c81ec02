"""What buf's check for breaking changes does not see: rules, defaults, idempotency and REST paths, told in comments.

The snapshot shows a change of them in review. Inside v1 a rule may only loosen: what was accepted stays accepted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from tests.unit.contract_snapshot.contract import Entry, Rpc, contract

SNAPSHOT = Path(__file__).with_name("contract.txt")
HEAD = """\
# Rules, defaults, idempotency and REST paths of sendoff.v1, as the comments in protos/ have them.
# Made by `make snapshot`. Inside v1 a rule may only loosen, and defaults and paths stay: what worked goes on working.
"""
_DEFAULT = re.compile(r"^(Default:|Unset:|Unset or|Empty:|Empty on|0:|More than|Zero:|Set and empty:)")


def _lines() -> Iterator[str]:
    for entry in contract():
        if isinstance(entry, Rpc):
            yield f"rpc {entry.name}"
            yield f"  idempotency: {entry.idempotency}"
            yield f"  REST: {entry.rest}".rstrip()
            continue
        told = [f"  default: {default}" for default in _defaults(entry)]
        told += [f"  rule: {rule}" for rule in entry.rules]
        if told:
            yield entry.name
            yield from told


def _defaults(entry: Entry) -> list[str]:
    """The sentences that say what is meant by a value that is not sent."""
    plain = entry.comment.split("Rule: ")[0].strip()
    sentences = re.split(r"(?<=\.)\s+", plain)
    return [sentence for sentence in sentences if _DEFAULT.match(sentence)]


def test_the_rules_defaults_and_paths_of_the_contract_are_those_of_the_snapshot() -> None:
    now = HEAD + "\n".join(_lines()) + "\n"
    if os.environ.get("SENDOFF_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(now)
    assert now == SNAPSHOT.read_text(), (
        "the comments of the contract say something else than tests/unit/contract_snapshot/contract.txt; "
        "if that is meant, and only loosens rules, run `make snapshot` and commit the file"
    )


def test_every_rpc_names_its_rest_path() -> None:
    """But for the one whose callers write into its stream as they read from it, which HTTP has no way for."""
    both_ways = "CallbackService.ReceiveDeliveries"
    rpcs = [entry for entry in contract() if isinstance(entry, Rpc) and entry.name != both_ways]
    assert [rpc.name for rpc in rpcs if not re.match(r"(GET|POST|PUT|PATCH|DELETE) /v1/", rpc.rest)] == []
    assert len(rpcs) >= 15


def test_every_message_field_and_rpc_has_a_comment() -> None:
    assert [entry.name for entry in contract() if not entry.comment] == []
