"""What callers can see of steps, and say of them. Both doors call this; messages of `sendoff.v1` go in and out."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import validation
from sendoff_server.clock import nanoseconds
from sendoff_server.errors import RunNotFound, StepNotFound
from sendoff_server.message_lists import Speech, step_entries
from sendoff_server.paging import Page
from sendoff_server.store.port import INPUT_PLACE, Store
from sendoff_server.store.questions import MessageQuery, MessageScope, StepPlace, StepQuery

DEFAULT_PAGE = 100
_LATEST_NS = (1 << 63) - 1


class StepService:
    """The use cases of steps.

    A step is told as far as it has got: the last one of a run that goes on may be PENDING.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, request: v1.GetStepRequest) -> v1.Step:
        validation.check_get_step(request)
        return await self._step(tenant, request.step_id)

    async def _step(self, tenant: str, step_id: str) -> v1.Step:
        step = await self._store.step(tenant, step_id)
        if step is None:
            raise StepNotFound(step_id)
        return step

    async def list(self, tenant: str, request: v1.ListStepsRequest) -> v1.ListStepsResponse:
        validation.check_list_steps(request)
        page = Page(request, DEFAULT_PAGE)
        if request.run_id and not await self._store.runs(tenant, [request.run_id]):
            raise RunNotFound(request.run_id)
        after = (page.after[0], int(page.after[1])) if page.after else await self._place(tenant, request.after_step_id)
        before = await self._place(tenant, request.before_step_id)
        found = await self._store.list_steps(_query(tenant, request, after, before, page.enough))
        steps, token = page.of([(step, (start_ns, str(number))) for step, (start_ns, number) in found])
        return v1.ListStepsResponse(steps=steps, next_page_token=token)

    async def _place(self, tenant: str, step_id: str) -> StepPlace | None:
        if not step_id:
            return None
        place = await self._store.step_place(tenant, step_id)
        if place is None:
            raise StepNotFound(step_id)
        return place

    async def list_messages(self, tenant: str, request: v1.ListStepMessagesRequest) -> v1.ListStepMessagesResponse:
        """What its own run wrote in it; then what the run that continues that one has written in front of its input,
        if some of it answers calls of this step."""
        validation.check_list_step_messages(request)
        step = await self._step(tenant, request.step_id)
        run = (await self._store.runs(tenant, [step.run_id])).get(step.run_id)
        if run is None:
            raise StepNotFound(request.step_id)  # its run was deleted a moment ago
        speech = Speech(self._store, tenant, run.request_config)
        shown: list[v1.Message] = []
        async for entry in step_entries(self._store, tenant, step.id):
            shown += await speech.shown(entry)
        for entry in await self._settled(tenant, run.continued_by_run_id, step.id):
            shown += await speech.shown(entry)
        return v1.ListStepMessagesResponse(messages=shown)

    async def _settled(self, tenant: str, run_id: str, step_id: str) -> Sequence[v1.Message]:
        of = MessageScope(tenant=tenant, run_id=run_id)
        query = MessageQuery(of=of, older_than=INPUT_PLACE, newest_first=False)
        listed = await self._store.list_messages(query) if run_id else ()
        return [entry for each in listed for entry in each.entries if entry.step_id == step_id]

    async def update_feedback(self, tenant: str, request: v1.UpdateStepFeedbackRequest) -> v1.Step:
        validation.check_update_step_feedback(request)
        tags = request.tags.values if request.HasField("tags") else None
        step = await self._store.set_feedback(tenant, request.step_id, request.feedback, tags)
        if step is None:
            raise StepNotFound(request.step_id)
        return step


def _query(
    tenant: str, request: v1.ListStepsRequest, after: StepPlace | None, before: StepPlace | None, limit: int
) -> StepQuery:
    return StepQuery(
        tenant=tenant,
        run_id=request.run_id or None,
        agent_id=request.agent_id if request.HasField("agent_id") else None,
        model=request.model if request.HasField("model") else None,
        trace_ids=request.trace_ids,
        tags=request.tags,
        feedback=request.feedback or None,
        has_feedback=request.has_feedback if request.HasField("has_feedback") else None,
        started_from_ns=_stored_ns(request.started_from) if request.HasField("started_from") else None,
        started_until_ns=_stored_ns(request.started_until) if request.HasField("started_until") else None,
        newest_first=request.order_by.endswith(" desc") or not (request.order_by or request.run_id),
        after=after,
        before=before,
        limit=limit,
    )


def _stored_ns(moment: Timestamp) -> int:
    """As a store can compare it: what is beyond the year 2262 is as late as can be."""
    return max(-_LATEST_NS, min(_LATEST_NS, nanoseconds(moment)))
