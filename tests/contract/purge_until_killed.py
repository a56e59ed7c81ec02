"""Purges a bite for each line that comes in, and prints how many entries went; started and killed by a test."""

from __future__ import annotations

import asyncio
import sys

from tests.contract.databases import of_address


async def main(address: str, now_ns: int) -> None:
    async with of_address(address).replica() as store:
        while await asyncio.to_thread(sys.stdin.readline):
            print((await store.purge(now_ns, 1)).entries, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
