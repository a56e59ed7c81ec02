"""Messages to agents whose tools run here, followed to the end of the turn."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing, closing, suppress
from typing import Unpack

from sendoff.calls.actions import ActionCalls, AsyncActionCalls
from sendoff.calls.following import AsyncFollowCalls, FollowCalls
from sendoff.calls.runs import AsyncRunCalls, RunCalls
from sendoff.client_tools.aio import AsyncHands
from sendoff.client_tools.blocking import Hands
from sendoff.client_tools.functions import ToolFunction
from sendoff.client_tools.turns import Answered, Approve, OnEntry, Turn, TurnWork, is_overtaken
from sendoff.errors import SendoffError
from sendoff.requests import Input, SendOptions

_CANCEL_S = 5.0


class TurnCalls(RunCalls, FollowCalls, ActionCalls):
    """Of the blocking client."""

    def run_with_tools(
        self,
        agent_id: str,
        input: Input,
        *,
        tools: Sequence[ToolFunction] = (),
        approve: Approve | None = None,
        on_entry: OnEntry | None = None,
        tool_timeout_s: float = 60.0,
        max_parallel_tools: int = 8,
        max_rounds: int = 50,
        cancel_on_exit: bool = False,
        timeout_s: float | None = None,
        **options: Unpack[SendOptions],
    ) -> Turn:
        """Send a message, call the tools that run here and ask for approvals, until the turn is over.

        `tools` are functions, see `sendoff.ToolFunction`. What one raises, and that one brings nothing within
        `tool_timeout_s`, is told to the model; its thread then goes on, unheeded. Calls of one step are made at
        the same time, `max_parallel_tools` of them. `approve` is asked for each approval, see `sendoff.Approve`.
        `on_entry` is told all that a watch brings.

        Ends sooner, with the run as it stands, when the run waits for what cannot be answered here
        (`Turn.open_actions`), after `max_rounds` answers, and when `timeout_s` is over.

        The run goes on at the server whatever happens here. Sent again with its `request_id`, by this process or
        another, it is followed from where it is; calls whose results were not taken are then made once more. With
        `cancel_on_exit` the run is cancelled when an exception ends this.
        """
        work = TurnWork(
            tools,
            on_entry=on_entry,
            tool_timeout_s=tool_timeout_s,
            max_rounds=max_rounds,
            timeout_s=timeout_s,
            timing=self._timing,
        )
        hands = Hands(approve, max_parallel_tools)
        hands.check(work)
        work.follow(self.send(agent_id, input, **work.sending(options)).id)
        try:
            return self._finish_turn(work, hands)
        except BaseException:
            if cancel_on_exit:
                with suppress(SendoffError):
                    self.cancel_run(work.run_id, timeout_s=_CANCEL_S)
            raise

    def _finish_turn(self, work: TurnWork, hands: Hands) -> Turn:
        while True:
            with closing(self.watch(work.run_id, **work.watching())) as watch:
                for entry in watch:
                    work.take(entry)
            run = self.get_run(work.run_id)
            if (pending := work.stands(run)) is None:
                continue
            answers = hands.answers(work, pending)
            if not (answers and self._answer(work, answers)):
                return work.turn(self.get_run(work.run_id) if answers else run)

    def _answer(self, work: TurnWork, answers: Sequence[Answered]) -> bool:
        """Whether to go on with `work.run_id`."""
        work.found(answers)
        try:
            response = self.respond([action for action, _ in answers], [given for _, given in answers])
        except SendoffError as error:
            if is_overtaken(error) and work.is_news(self.get_run(work.run_id), answers):
                return True
            raise
        return work.answered(response)


class AsyncTurnCalls(AsyncRunCalls, AsyncFollowCalls, AsyncActionCalls):
    """As TurnCalls, of the asyncio client."""

    async def run_with_tools(
        self,
        agent_id: str,
        input: Input,
        *,
        tools: Sequence[ToolFunction] = (),
        approve: Approve | None = None,
        on_entry: OnEntry | None = None,
        tool_timeout_s: float = 60.0,
        max_parallel_tools: int = 8,
        max_rounds: int = 50,
        cancel_on_exit: bool = False,
        timeout_s: float | None = None,
        **options: Unpack[SendOptions],
    ) -> Turn:
        """Send a message, call the tools that run here and ask for approvals, until the turn is over.

        `tools` are functions and coroutine functions, see `sendoff.ToolFunction`; the former run in threads. What one
        raises, and that one brings nothing within `tool_timeout_s`, is told to the model; a coroutine is cancelled
        then, a thread goes on, unheeded. Calls of one step are made at the same time, `max_parallel_tools` of
        them. `approve`, a function or a coroutine function, is asked for each approval, see `sendoff.Approve`.
        `on_entry` is told all that a watch brings, on the event loop.

        Ends sooner, with the run as it stands, when the run waits for what cannot be answered here
        (`Turn.open_actions`), after `max_rounds` answers, and when `timeout_s` is over.

        The run goes on at the server whatever happens here. Sent again with its `request_id`, by this process or
        another, it is followed from where it is; calls whose results were not taken are then made once more. With
        `cancel_on_exit` the run is cancelled when an exception ends this, as when its task is cancelled.
        """
        work = TurnWork(
            tools,
            on_entry=on_entry,
            tool_timeout_s=tool_timeout_s,
            max_rounds=max_rounds,
            timeout_s=timeout_s,
            timing=self._timing,
        )
        hands = AsyncHands(approve, max_parallel_tools)
        work.follow((await self.send(agent_id, input, **work.sending(options))).id)
        try:
            return await self._finish_turn(work, hands)
        except BaseException:
            if cancel_on_exit:
                with suppress(SendoffError):
                    await self.cancel_run(work.run_id, timeout_s=_CANCEL_S)
            raise

    async def _finish_turn(self, work: TurnWork, hands: AsyncHands) -> Turn:
        while True:
            async with aclosing(self.watch(work.run_id, **work.watching())) as watch:
                async for entry in watch:
                    work.take(entry)
            run = await self.get_run(work.run_id)
            if (pending := work.stands(run)) is None:
                continue
            answers = await hands.answers(work, pending)
            if not (answers and await self._answer(work, answers)):
                return work.turn(await self.get_run(work.run_id) if answers else run)

    async def _answer(self, work: TurnWork, answers: Sequence[Answered]) -> bool:
        """Whether to go on with `work.run_id`."""
        work.found(answers)
        try:
            response = await self.respond([action for action, _ in answers], [given for _, given in answers])
        except SendoffError as error:
            if is_overtaken(error) and work.is_news(await self.get_run(work.run_id), answers):
                return True
            raise
        return work.answered(response)
