"""Calls of tools, as spans."""

from __future__ import annotations

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from sendoff import v1
from sendoff_server.tools.port import ToolCall, ToolResult, Tools
from sendoff_server.tracing import content, names
from sendoff_server.tracing.otel import OtelTracer, fail


class TracedTools(Tools):
    """Tools of another one. The MCP library tells the servers of the current span by itself."""

    def __init__(self, tools: Tools, tracer: OtelTracer) -> None:
        self._tools = tools
        self._tracer = tracer

    async def call(self, call: ToolCall) -> ToolResult:
        name = f"execute_tool {call.tool.name}"
        with self._tracer.below_current(name, SpanKind.INTERNAL, _of_call(call)) as span:
            if self._tracer.tells_content:
                span.set_attributes(content.of_arguments(call))
            result = await self._tools.call(call)
            if self._tracer.tells_content:
                span.set_attributes(content.of_result(result))
            if result.is_error:
                fail(span, "tool_error")
            return result


def _of_call(call: ToolCall) -> dict[str, AttributeValue]:
    kind = v1.ToolType.Name(call.tool.type).removeprefix("TOOL_TYPE_").lower()
    attributes: dict[str, AttributeValue] = {
        names.OPERATION_NAME: "execute_tool",
        names.TOOL_NAME: call.tool.name,
        names.TOOL_TYPE: "extension" if call.tool.type == v1.TOOL_TYPE_MCP else "function",
        names.TOOL_KIND: kind,
        names.TOOL_CALL_ID: call.call_id,
        names.RUN_ID: call.run_id,
    }
    if call.tool.type == v1.TOOL_TYPE_MCP:
        attributes[names.MCP_METHOD_NAME] = "tools/call"
    return attributes
