"""Requests that come at their own pace, whether the server keeps up or not; and what became of them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from bench.load.latencies import percentile
from bench.load.target import Target, bodies, targets
from sendoff import v1
from sendoff.v1.run_service_pb2_grpc import RunServiceStub

_TICK_S = 0.005
_CALL_S = 30.0
_LONGEST_WAIT_S = 50
_LOOK_S = 0.25
_PAGE = 1_000

_Metadata = tuple[tuple[str, str], ...]


@dataclass
class _Outcomes:
    """What became of the requests so far."""

    told: Counter[str] = field(default_factory=Counter)
    """`accepted`, or the reason of the refusal, with a * where nothing said when to come back."""
    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    """From the request to the run's end, for those that were followed."""

    def figures(self, seconds: float) -> dict[str, Any]:
        """For people and for JSON; times in milliseconds."""
        lists = {"accepted": self.accepted_s, "refused": self.refused_s, "ended": self.ended_s}
        times = {
            f"{name}_p{round(share * 100)}_ms": percentile(values, share) * 1_000
            for name, values in lists.items()
            for share in (0.5, 0.95)
        }
        return {"told": dict(self.told), "sent": self.told.total(), "seconds": seconds, **times}


async def paced(
    *, address: str, key: str, agent_ids: Sequence[str], per_s: float, seconds: float, follow: bool
) -> dict[str, Any]:
    """Send so many a second for so long, then wait for all answers; `follow`: and for the runs' ends."""
    outcomes, sent = _Outcomes(), 0
    async with targets(address, 4) as called, asyncio.TaskGroup() as group:
        calls, requests, metadata = itertools.cycle(called), bodies(agent_ids), _metadata(key)
        begun = time.perf_counter()
        while (passed := time.perf_counter() - begun) < seconds:
            for _ in range(int(passed * per_s) - sent):
                group.create_task(_one(next(calls), next(requests), metadata, outcomes, follow=follow))
                sent += 1
            await asyncio.sleep(_TICK_S)
    return outcomes.figures(seconds)


async def finished(*, address: str, key: str, agent_ids: Sequence[str], callers: int, seconds: float) -> dict[str, Any]:
    """Each caller sends its next request when the run of the one before has ended."""
    outcomes = _Outcomes()
    async with targets(address, callers) as called:
        requests, metadata, begun = bodies(agent_ids), _metadata(key), time.perf_counter()
        await asyncio.gather(*(_call(target, requests, metadata, begun + seconds, outcomes) for target in called))
        return outcomes.figures(time.perf_counter() - begun)


async def settled(*, address: str, key: str, longest_s: float) -> dict[str, Any]:
    """Wait until no run of the tenant is open; then how many there are, by status."""
    statuses: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(address) as channel:
        stub, metadata, until = RunServiceStub(channel), _metadata(key), time.perf_counter() + longest_s
        one = v1.ListRunsRequest(active=True, page_size=1)
        while (await stub.ListRuns(one, metadata=metadata)).runs and time.perf_counter() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        ask = v1.ListRunsRequest(page_size=_PAGE)
        while True:
            page = await stub.ListRuns(ask, metadata=metadata)
            statuses.update(v1.RunStatus.Name(run.status) for run in page.runs)
            if not page.next_page_token:
                return {"statuses": dict(statuses)}
            ask.page_token = page.next_page_token


async def _call(
    target: Target, requests: Iterator[bytes], metadata: _Metadata, until: float, outcomes: _Outcomes
) -> None:
    while time.perf_counter() < until:
        await _one(target, next(requests), metadata, outcomes, follow=True)


async def _one(target: Target, body: bytes, metadata: _Metadata, outcomes: _Outcomes, *, follow: bool) -> None:
    begun = time.perf_counter()
    try:
        answer = await target.accept(body, metadata=metadata, timeout=_CALL_S)
    except grpc.aio.AioRpcError as error:
        outcomes.refused_s.append(time.perf_counter() - begun)
        outcomes.told[_reason(error)] += 1
        return
    outcomes.accepted_s.append(time.perf_counter() - begun)
    outcomes.told["accepted"] += 1
    if follow:
        wait = v1.WaitRunRequest(run_id=v1.Run.FromString(answer).id)
        wait.timeout.seconds = _LONGEST_WAIT_S
        try:
            await target.wait(wait.SerializeToString(), metadata=metadata)
        except grpc.aio.AioRpcError as error:
            outcomes.told[f"WaitRun: {_reason(error)}"] += 1
        else:
            outcomes.ended_s.append(time.perf_counter() - begun)


def _reason(error: grpc.aio.AioRpcError) -> str:
    """QUOTA_EXCEEDED of open_runs is QUOTA_EXCEEDED/open_runs. The status where the server gave no reason."""
    info, hint = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    hinted = False
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                hinted = detail.Unpack(hint) or hinted
                detail.Unpack(info)
    quota = f"/{info.metadata['quota']}" if "quota" in info.metadata else ""
    return f"{info.reason or error.code().name}{quota}{'' if hinted else '*'}"


def _metadata(key: str) -> _Metadata:
    return (("authorization", f"Bearer {key}"),)
