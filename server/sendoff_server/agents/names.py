"""Names for agents that were given none."""

from __future__ import annotations

import hashlib

_FIRST = (
    *("Amber", "Brisk", "Calm", "Dapper", "Early", "Fabled", "Gentle", "Hidden", "Idle", "Jolly", "Keen", "Lucky"),
    *("Mellow", "Nimble", "Olive", "Patient", "Quiet", "Ruddy", "Silver", "Tidy", "Umber", "Vivid", "Warm", "Young"),
)
_SECOND = (
    *("Badger", "Crane", "Dolphin", "Egret", "Falcon", "Gecko", "Heron", "Ibis", "Jackdaw", "Kestrel", "Lynx"),
    *("Marten", "Newt", "Otter", "Plover", "Quail", "Raven", "Stork", "Tapir", "Urchin", "Vole", "Walrus", "Yak"),
)


def made_up(agent_id: str) -> str:
    """The same for the same id; others may have it too."""
    number = int.from_bytes(hashlib.blake2b(agent_id.encode(), digest_size=4).digest(), "big")
    number, first = divmod(number, len(_FIRST))
    return _FIRST[first] + _SECOND[number % len(_SECOND)]
