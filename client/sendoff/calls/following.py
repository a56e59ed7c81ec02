"""Waiting for runs and watching them, over any number of calls and streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Unpack

from sendoff import errors, requests, v1
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller
from sendoff.waiting import Waiting
from sendoff.watching import Entry, Watch, WatchOptions


class FollowCalls(Caller):
    """Of the blocking client."""

    def wait_run(
        self,
        run_id: str,
        until: v1.WaitUntil.ValueType = v1.WaitUntil.WAIT_UNTIL_TERMINAL,
        *,
        timeout_s: float | None = None,
    ) -> v1.Run:
        """Wait until the run has ended, or is at `until`; for ever unless `timeout_s` is given.

        When the time is up the run comes back as it is: look at its status. At the end of a turn it is the turn's
        newest run.
        """
        waiting = Waiting(
            run_id, until, timeout_s=timeout_s, connect=self._retry, reconnect=self._reconnect, timing=self._timing
        )
        while True:
            try:
                run = self._attempt(waiting.call(), waiting.asked_s + self._timeout_s)
                pause = waiting.answered(run)
            except errors.SendoffError as error:
                pause = waiting.failed(error)
            else:
                if pause is None:
                    return run
            self._sleep(pause)

    def watch(self, run_id: str, **options: Unpack[WatchOptions]) -> Generator[Entry, None, None]:
        """Follow a run to its end: every event of its log once and in order, over any number of broken streams.

        Ends after the `finished` event; with `follow_continuations` after that of the turn's last run. Close the
        generator to stop before; that cancels the call.
        """
        watch = Watch(run_id, options, connect=self._retry, reconnect=self._reconnect, timing=self._timing)
        if watch.wants_latest:
            watch.begin_after(self._call(requests.get_run(run_id), None).last_sequence)
        while not watch.over:
            stream = self._open(watch)
            try:
                while watch.expects_more and (frame := stream.read()) is not None:
                    if (entry := watch.take(frame)) is not None:
                        yield entry
            finally:
                stream.close()
            if not watch.over:
                self._sleep(watch.pause_s(stream.error))


class AsyncFollowCalls(AsyncCaller):
    """As FollowCalls, of the asyncio client."""

    async def wait_run(
        self,
        run_id: str,
        until: v1.WaitUntil.ValueType = v1.WaitUntil.WAIT_UNTIL_TERMINAL,
        *,
        timeout_s: float | None = None,
    ) -> v1.Run:
        """Wait until the run has ended, or is at `until`; for ever unless `timeout_s` is given.

        When the time is up the run comes back as it is: look at its status. At the end of a turn it is the turn's
        newest run.
        """
        waiting = Waiting(
            run_id, until, timeout_s=timeout_s, connect=self._retry, reconnect=self._reconnect, timing=self._timing
        )
        while True:
            try:
                run = await self._attempt(waiting.call(), waiting.asked_s + self._timeout_s)
                pause = waiting.answered(run)
            except errors.SendoffError as error:
                pause = waiting.failed(error)
            else:
                if pause is None:
                    return run
            await self._sleep(pause)

    async def watch(self, run_id: str, **options: Unpack[WatchOptions]) -> AsyncGenerator[Entry, None]:
        """Follow a run to its end: every event of its log once and in order, over any number of broken streams.

        Ends after the `finished` event; with `follow_continuations` after that of the turn's last run. Close the
        generator to stop before, as `contextlib.aclosing` does; that cancels the call.
        """
        watch = Watch(run_id, options, connect=self._retry, reconnect=self._reconnect, timing=self._timing)
        if watch.wants_latest:
            watch.begin_after((await self._call(requests.get_run(run_id), None)).last_sequence)
        while not watch.over:
            stream = self._open(watch)
            try:
                while watch.expects_more and (frame := await stream.read()) is not None:
                    if (entry := watch.take(frame)) is not None:
                        yield entry
            finally:
                stream.close()
            if not watch.over:
                await self._sleep(watch.pause_s(stream.error))
