"""`sendoff steps ...`."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer

from sendoff import v1
from sendoff.cli import details, output, wording
from sendoff.cli.ids import AgentOption, ModelOption, StepId
from sendoff.cli.session import Json, session

steps = typer.Typer(no_args_is_help=True, help="Steps of runs: model calls, and the tools that each called.")

_MOST_PER_PAGE = 1000


class Feedback(StrEnum):
    """What a person thinks of a step; the values of v1.StepFeedback."""

    positive = "positive"
    negative = "negative"
    none = "none"


@steps.command("ls")
def list_steps(
    context: typer.Context,
    agent: AgentOption = None,
    model: ModelOption = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag; may be given again: one of them.")] = None,
    feedback: Annotated[Feedback | None, typer.Option(help="Only those of which this is thought.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List steps of all runs, newest first. Those of one run: `sendoff runs steps`."""
    thought = v1.STEP_FEEDBACK_UNSPECIFIED if feedback is None else _feedback(feedback)
    with session(context).client() as client:
        found = client.steps(
            agent_id=agent,
            model=model,
            tags=tag or [],
            feedback=thought,
            has_feedback=False if feedback is Feedback.none else None,
            page_size=min(limit, _MOST_PER_PAGE),
        )
        output.listing(
            islice(found, limit),
            (*wording.STEP_COLUMNS, "RUN"),
            lambda each: (*wording.step(each), each.run_id),
            as_json=as_json,
        )


@steps.command("get")
def get(context: typer.Context, step_id: StepId, as_json: Json = False) -> None:
    """Show a step."""
    with session(context).client() as client:
        _show(client.get_step(step_id), as_json=as_json)


@steps.command("messages")
def messages(context: typer.Context, step_id: StepId, as_json: Json = False) -> None:
    """Show what a step wrote, oldest first."""
    with session(context).client() as client:
        found = client.step_messages(step_id)
    output.listing(found, wording.MESSAGE_COLUMNS, wording.message, as_json=as_json)


@steps.command("feedback")
def give_feedback(
    context: typer.Context,
    step_id: StepId,
    feedback: Annotated[Feedback, typer.Argument(help="What you think of it; none takes it away.")],
    tag: Annotated[
        list[str] | None, typer.Option(help="A word to put on it, in place of those it has; may be given again.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write down what somebody thinks of a step."""
    with session(context).client() as client:
        _show(client.set_step_feedback(step_id, _feedback(feedback), tags=tag or None), as_json=as_json)


def _feedback(given: Feedback) -> v1.StepFeedback.ValueType:
    if given is Feedback.none:
        return v1.STEP_FEEDBACK_UNSPECIFIED
    return v1.StepFeedback.Value(f"STEP_FEEDBACK_{given.upper()}")


def _row(step: v1.Step) -> tuple[str, ...]:
    return *wording.step(step), step.run_id


def _show(step: v1.Step, *, as_json: bool) -> None:
    if as_json:
        output.document(step)
    else:
        output.fields(details.of_step(step))
