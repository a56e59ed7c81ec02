"""What use cases ask before they take something on."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol


class Admission(Protocol):
    """Says what a tenant may have, and the key that a call was made with."""

    def accepting(self, tenant: str, *, answers: bool = False) -> AbstractAsyncContextManager[None]:
        """Inside the block a request that makes a run is worked on; `answers`: one that others wait for, which counts
        as little as can be. Entering it raises QuotaExceeded, Overloaded, and then nothing is taken."""
        ...

    def watching(self, tenant: str, *, through_need: bool = False) -> AbstractContextManager[None]:
        """Inside the block something is watched or waited for. Entering it raises QuotaExceeded, Overloaded; not with
        `through_need`, for who has called `check_watching` and has something to lose since."""
        ...

    async def check_storing(self, tenant: str) -> None:
        """Raises QuotaExceeded if a tenant has stored all that it may."""
        ...

    def check_watching(self, tenant: str) -> None:
        """Raises what `watching` would. For calls that are to watch what they make, before they make it."""
        ...
