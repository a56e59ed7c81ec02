"""Accepts runs for ever and prints the id of each one that the store says it has; started and killed by a test."""

from __future__ import annotations

import asyncio
import sys

from sendoff_server.store.items import Placed
from tests.contract.databases import of_address
from tests.contract.making import accept, new_lane


async def main(address: str) -> None:
    async with of_address(address).replica() as store:
        lanes = [await new_lane(store) for _ in range(4)]
        print(store.replica_id, flush=True)
        while True:
            results = await store.flush([accept(lane, otids=[f"o{index}"]) for index, lane in enumerate(lanes)])
            repeated = await store.flush([accept(lane, request=b"r") for lane in lanes])
            placed = [result for result in [*results, *repeated] if isinstance(result, Placed)]
            print(*(result.run.id for result in placed), sep="\n", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
