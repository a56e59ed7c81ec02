"""Calls of one tenant with what belongs to another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from tests.tenants.answers import ID, Answer
from tests.tenants.leaves import Leaf, Nobodys, differences, replaced

Ask = Callable[[Any], Awaitable[Answer]]
"""Makes a call as the tenant that attacks."""


class Sweep:
    """Attacks with calls of one tenant, and writes down what gives another one away."""

    def __init__(self, ask: Ask, nobodys: Nobodys, theirs: Sequence[str], no_matter: Collection[str]) -> None:
        """`theirs`: all that must never be told. `no_matter`: fields whose value changes nothing in the answer."""
        self._ask = ask
        self._nobodys = nobodys
        self._ids = {each for each in theirs if ID.fullmatch(each)}
        self._words = set(theirs) - self._ids
        self._no_matter = no_matter
        self.faults: list[str] = []
        self.attacked: set[str] = set()
        """The fields that were."""

    async def attack(self, name: str, mine: Any, theirs: Any) -> None:
        """Put into a call of mine what is theirs, in one place after the other and in all at once."""
        leaves = list(differences(mine, theirs))
        self.attacked |= {leaf.field for leaf in leaves}
        never = {}
        for leaf in leaves:
            never[leaf.path] = await self._compare(name, [leaf], mine)
        if len(leaves) > 1:
            await self._compare(name, leaves, mine)
        own = await self._asked(f"{name} with what is mine", mine, ())
        for leaf in leaves:
            if leaf.field not in self._no_matter and own.about(leaf.mine) == never[leaf.path]:
                self.faults.append(f"{name}: nothing depends on {leaf.name}: {own}")

    async def _compare(self, name: str, leaves: Sequence[Leaf], mine: Any) -> Answer:
        """Whether what is theirs is answered as what never was. The answer to that."""
        never_request = theirs_request = mine
        for leaf in leaves:
            never_request = replaced(never_request, leaf.path, self._nobodys.like(leaf.theirs))
            theirs_request = replaced(theirs_request, leaf.path, leaf.theirs)
        where = f"{name} with their {', '.join(leaf.name for leaf in leaves)}"
        nowhere = [self._nobodys.like(leaf.theirs) for leaf in leaves]
        never = (await self._asked(where, never_request, nowhere)).about(*nowhere)
        told = (await self._asked(where, theirs_request, [leaf.theirs for leaf in leaves])).about(
            *(leaf.theirs for leaf in leaves)
        )
        if told != never:
            self.faults.append(f"{where} differs from what never was:\n  {told}\n  {never}")
        return never

    async def _asked(self, where: str, request: Any, said: Sequence[str]) -> Answer:
        """The answer, which tells nothing of theirs but what was said."""
        answer = await self._ask(request)
        text = answer.told
        for word in said:
            text = text.replace(word, "")
        leaked = sorted(self._ids.intersection(ID.findall(text)) | {each for each in self._words if each in text})
        if leaked:
            self.faults.append(f"{where} tells {leaked}: {answer}")
        if "INTERNAL" in answer.outcome or answer.outcome == "500":
            self.faults.append(f"{where} fails: {answer}")
        return answer


def ids_in(answer: Answer) -> set[str]:
    """All but those that stand for what there is not."""
    return {found.group() for found in ID.finditer(answer.told) if not found.group().endswith(_NO_ID)}


_NO_ID = "-00000000-0000-4000-8000-000000000000"
