"""A tool's result as a model reads it.

Shape: a JSON object, indented by 2, with `status` ("OK" or "Failed"), `message` (the result, and what the tool printed)
and `time` (when it returned, in the agent's time zone). It follows from the entry alone, so that the same history is
the same text every time, which providers cache.
"""

from __future__ import annotations

import json
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1

UNKNOWN = "Error: the result of this call is not known."
"""For a call that has no return: no provider takes a history with one."""
_NOTHING = "(nothing)"
_IMAGE = "[image]"


def dressed(returned: v1.ToolReturn, time: Timestamp, timezone: str = "") -> str:
    """`time` is when the return was written; it is told in that time zone of the IANA database, empty for UTC."""
    told = {
        "status": "Failed" if is_error(returned) else "OK",
        "message": text_of(returned),
        "time": time.ToDatetime(ZoneInfo(timezone or "UTC")).strftime("%Y-%m-%d %I:%M:%S %p %Z%z"),
    }
    return json.dumps(told, indent=2, ensure_ascii=False)


def is_error(returned: v1.ToolReturn) -> bool:
    return returned.status == v1.TOOL_RETURN_STATUS_ERROR


def text_of(returned: v1.ToolReturn) -> str:
    """What it returned and printed; "[image]" stands for each image."""
    content = returned.tool_return
    text = (
        content.text
        if content.WhichOneof("form") == "text"
        else "\n".join(part.text.text if part.HasField("text") else _IMAGE for part in content.parts.parts)
    )
    return or_nothing("\n".join([text, *returned.stdout.lines, *returned.stderr.lines]))


def or_nothing(text: str) -> str:
    """The text, or what stands for an empty one: not every provider takes that."""
    return _NOTHING if not text or text.isspace() else text
