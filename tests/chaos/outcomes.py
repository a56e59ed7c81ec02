"""Whether each run did what its kind does, no less and nothing twice."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from tests.chaos.findings import Findings, brief
from tests.chaos.jobs import FROM_OUTSIDE, STOPS, Job, Kind
from tests.chaos.outside import Ledger
from tests.chaos.world import Told, World
from tests.faults.run_log import TERMINAL, texts

_COMPLETED = v1.RUN_STATUS_COMPLETED
_CANCEL_S = 3.0
"""Another replica learns of a cancel within a poll. What has answered by then has answered."""
_SPOKEN = ("user_message", "assistant_message")


class Outcomes:
    """Checked job by job."""

    def __init__(self, world: World, ledger: Ledger, findings: Findings) -> None:
        self._world = world
        self._ledger = ledger
        self._findings = findings

    def check(self, job: Job) -> None:
        chain = self._world.chain(job.run_id)
        if job.kind is Kind.CANCELLED:
            self._check_cancelled(job, chain[0].run)
        else:
            self._check_answer(job, chain)
        if job.kind in (Kind.CHARGE, Kind.RISKY):
            self._check_charged(job, chain)
        elif job.kind is Kind.NOTE:
            self._check_noted(job, chain)
        if job.kind in STOPS:
            self._check_settled(job, chain)

    def _check_cancelled(self, job: Job, run: v1.Run) -> None:
        reply = job.cancel_reply
        if reply is not None and reply.status in TERMINAL:
            same = (reply.status, reply.stop_reason) == (run.status, run.stop_reason)
            self._findings.expect("P4", same, f"{run.id} was told as {brief(reply)} and is {brief(run)}")
        elif reply is not None and run.status != v1.RUN_STATUS_CANCELLED:
            late_s = run.complete_time.ToNanoseconds() / 1e9 - job.cancelled_s
            self._findings.count("runs that ended just before the cancel reached them")
            self._findings.expect("a cancel is carried out", late_s < _CANCEL_S, f"{brief(run)}, {late_s:.1f} s later")

    def _check_answer(self, job: Job, chain: Sequence[Told]) -> None:
        """All runs of the chain completed, and said all that they had to say."""
        for told in chain:
            self._findings.expect("P1", told.run.status == _COMPLETED, f"{job.key} failed: {brief(told.run)}")
        spoken = [each for told in chain for each in texts(told.messages) if each[0] in _SPOKEN]
        said = [text for kind, text in spoken if kind == "user_message"]
        self._findings.expect("P1", said == [job.text], f"{job.key}: the input is {said}")
        answers = [text for kind, text in spoken if kind == "assistant_message" and text == job.answer]
        overtaken = _is_overtaken(chain)
        self._findings.count("runs whose pending call a newer message denied", overtaken)
        self._findings.expect("P1", len(answers) == (not overtaken), f"{job.key}: answers {answers}, said {spoken}")

    def _check_charged(self, job: Job, chain: Sequence[Told]) -> None:
        """The outside counted one call where the run tells of one, one or none where there is doubt, and none where it
        was denied."""
        keys = self._ledger.charged.get(job.key, [])
        self._findings.expect("P8", len(keys) <= 1, f"{job.key} was done {len(keys)} times in {_ids(chain)}")
        begun = [e.tool_call_started for told in chain for e in told.log if e.HasField("tool_call_started")]
        self._findings.expect("P8", all(each.attempt == 1 for each in begun), f"{job.key}: {begun}")
        doubts = [e for told in chain for e in told.log if _is_doubt(e)]
        self._findings.count("calls of which nobody knew what became of them", len(doubts))
        if any(text == f"done {job.key}" for text in _returned(chain)):
            self._findings.expect("P8", len(keys) == 1, f"{job.key} was told as done and is not")
        elif not doubts and job.kind is Kind.CHARGE:
            self._findings.count("tool calls that failed")
            self._findings.tell(f"a call of {job.key} failed: {_returned(chain)}")
        if job.kind is Kind.RISKY and not job.approves:
            self._findings.expect("P8", not keys, f"{job.key} was denied and done")

    def _check_noted(self, job: Job, chain: Sequence[Told]) -> None:
        keys = self._ledger.noted.get(job.key, [])
        self._findings.count("idempotent calls made again", max(0, len(keys) - 1))
        self._findings.expect("P8", len(set(keys)) <= 1, f"{job.key} was called with the keys {keys}")
        if any(text == f"done {job.key}" for text in _returned(chain)):
            self._findings.expect("P8", len(keys) >= 1, f"{job.key} was told as done and is not")
        else:
            self._findings.count("tool calls that failed")
            self._findings.tell(f"a call of {job.key} failed: {_returned(chain)}")

    def _check_settled(self, job: Job, chain: Sequence[Told]) -> None:
        """What it waited for has one answer, and that is the one that was acknowledged."""
        settled = [e.action_resolved for told in chain for e in told.log if e.HasField("action_resolved")]
        if not _is_overtaken(chain):
            self._findings.expect("P7", len(settled) >= 1, f"nothing settled what {job.key} waited for: {_ids(chain)}")
        for given in job.given:
            used = [each for each in settled if each.decision == given]
            self._findings.expect("P7", len(used) == 1, f"{job.key} was given {given}, and used {settled}")
        if job.kind is Kind.CLIENT and job.given:
            returned = _returned(chain)
            right = [text for text in returned if text == f"{FROM_OUTSIDE} {job.key}"]
            self._findings.expect("P7", len(right) == 1, f"{job.key} was returned {returned}")
        if job.kind is Kind.EXPIRES:
            by = {each.resolved_by for each in settled}
            self._findings.expect("P7", by <= {"timeout", "message"}, f"{job.key} was settled by {by}")


def _is_overtaken(chain: Sequence[Told]) -> bool:
    """Whether the last run stopped for something that a newer message denied."""
    run = chain[-1].run
    return run.stop_reason in (v1.STOP_REASON_REQUIRES_APPROVAL, v1.STOP_REASON_TOOL_OUTCOME_UNKNOWN)


def _is_doubt(event: v1.RunEvent) -> bool:
    return event.action_required.kind == v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME


def _returned(chain: Sequence[Told]) -> list[str]:
    messages = [message for told in chain for message in told.messages]
    return [each.tool_return.text for message in messages for each in message.tool_return_message.tool_returns]


def _ids(chain: Sequence[Told]) -> list[str]:
    return [told.run.id for told in chain]
