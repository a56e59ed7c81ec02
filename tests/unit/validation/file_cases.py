"""Rules of `FileService` and `StepService`, each with a value that breaks it and one that just does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sendoff import v1
from tests.unit.validation.rule_cases import MIB, RUN, Field, bounds, characters, identifier

_STEP = "step-00000000-0000-4000-8000-000000000000"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def upload(**fields: Any) -> v1.CreateFileRequest:
    given: dict[str, Any] = {"file": v1.File(media_type="image/png"), "data": b"png"}
    return v1.CreateFileRequest(**(given | fields))


FILES: Sequence[Field] = (
    Field(
        "File.name",
        "file.name",
        lambda v: upload(file=v1.File(name=v, media_type="image/png")),
        characters(255) | {"no control characters": ("a\tb.png", "Zoë 🙂.png")},
    ),
    Field(
        "File.media_type",
        "file.media_type",
        lambda v: upload(file=v1.File(media_type=v)),
        {'string.pattern = "^image/[a-z0-9.+-]+$"': ("image/PNG", "image/svg+xml")},
    ),
    Field(
        "CreateFileRequest.file",
        "file",
        lambda v: v1.CreateFileRequest(file=v, data=b"png"),
        {"required": (None, v1.File(media_type="image/png"))},
    ),
    Field(
        "CreateFileRequest.data",
        "data",
        lambda v: upload(data=v),
        {
            "bytes.min_len = 1": (b"", b"x"),
            "bytes.max_len = 20971520": (b"x" * (20 * MIB + 1), b"x" * (20 * MIB)),
        },
    ),
    Field("CreateFileRequest.request_id", "request_id", lambda v: upload(request_id=v), characters(255, least=1)),
    Field(
        "GetFileRequest.file_id",
        "file_id",
        lambda v: v1.GetFileRequest(file_id=v),
        {f'string.pattern = "^file-{_UUID}$"': identifier("file")},
    ),
    Field(
        "ListFilesRequest.page_size", "page_size", lambda v: v1.ListFilesRequest(page_size=v), bounds("int32", least=0)
    ),
    Field(
        "DeleteFileRequest.file_id",
        "file_id",
        lambda v: v1.DeleteFileRequest(file_id=v),
        {"as GetFileRequest.file_id": identifier("file")},
    ),
)

STEPS: Sequence[Field] = (
    Field(
        "GetStepRequest.step_id",
        "step_id",
        lambda v: v1.GetStepRequest(step_id=v),
        {f'string.pattern = "^step-{_UUID}$"': identifier("step")},
    ),
    Field(
        "ListStepsRequest.run_id",
        "run_id",
        lambda v: v1.ListStepsRequest(run_id=v),
        {f'empty, or string.pattern = "^run-{_UUID}$"': ("run-1", "")},
    ),
    Field(
        "ListStepsRequest.page_size",
        "page_size",
        lambda v: v1.ListStepsRequest(run_id=RUN, page_size=v),
        bounds("int32", least=0),
    ),
    Field(
        "ListStepsRequest.order_by",
        "order_by",
        lambda v: v1.ListStepsRequest(run_id=RUN, order_by=v),
        {
            'string.in = ["", "index", "index asc", "index desc", "start_time", "start_time asc", "start_time desc"]': (
                "create_time",
                "index asc",
            )
        },
    ),
    Field(
        "ListStepsRequest.trace_ids",
        "trace_ids",
        lambda v: v1.ListStepsRequest(trace_ids=v),
        {"repeated.max_items = 100": (["t"] * 101, ["t"] * 100)},
    ),
    Field(
        "ListStepsRequest.tags",
        "tags",
        lambda v: v1.ListStepsRequest(tags=v),
        {"repeated.max_items = 64": (["t"] * 65, ["t"] * 64)},
    ),
    Field(
        "ListStepsRequest.feedback",
        "feedback",
        lambda v: v1.ListStepsRequest(feedback=v),
        {"enum.defined_only = true": (9, v1.STEP_FEEDBACK_NEGATIVE)},
    ),
    Field(
        "ListStepsRequest.after_step_id",
        "after_step_id",
        lambda v: v1.ListStepsRequest(after_step_id=v),
        {f'string.pattern = "^step-{_UUID}$"': identifier("step")},
    ),
    Field(
        "ListStepsRequest.before_step_id",
        "before_step_id",
        lambda v: v1.ListStepsRequest(before_step_id=v),
        {"as after_step_id": identifier("step")},
    ),
    Field(
        "ListStepMessagesRequest.step_id",
        "step_id",
        lambda v: v1.ListStepMessagesRequest(step_id=v),
        {"as GetStepRequest.step_id": identifier("step")},
    ),
    Field(
        "UpdateStepFeedbackRequest.step_id",
        "step_id",
        lambda v: v1.UpdateStepFeedbackRequest(step_id=v),
        {"as GetStepRequest.step_id": identifier("step")},
    ),
    Field(
        "UpdateStepFeedbackRequest.feedback",
        "feedback",
        lambda v: v1.UpdateStepFeedbackRequest(step_id=_STEP, feedback=v),
        {"enum.defined_only = true": (9, v1.STEP_FEEDBACK_POSITIVE)},
    ),
    Field(
        "StepTags.values",
        "tags.values",
        lambda v: v1.UpdateStepFeedbackRequest(step_id=_STEP, tags=v1.StepTags(values=v)),
        {
            "repeated.max_items = 64": (["t"] * 65, ["t"] * 64),
        },
    ),
    Field(
        "StepTags.values",
        "tags.values[0]",
        lambda v: v1.UpdateStepFeedbackRequest(step_id=_STEP, tags=v1.StepTags(values=v)),
        {
            "items.string.min_len = 1": ([""], ["t"]),
            "items.string.max_len = 255": (["t" * 256], ["t" * 255]),
        },
    ),
)
