"""What GetServerInfo answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Protocol

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from sendoff import v1
from sendoff.v1 import (
    action_service_pb2,
    agent_service_pb2,
    block_service_pb2,
    callback_service_pb2,
    conversation_service_pb2,
    file_service_pb2,
    model_service_pb2,
    ops_service_pb2,
    run_service_pb2,
    step_service_pb2,
    tool_service_pb2,
)
from sendoff_server.settings import Settings
from sendoff_server.validation import limits

SERVICE_FILES: tuple[FileDescriptor, ...] = (
    action_service_pb2.DESCRIPTOR,
    agent_service_pb2.DESCRIPTOR,
    block_service_pb2.DESCRIPTOR,
    callback_service_pb2.DESCRIPTOR,
    callback_service_pb2.DESCRIPTOR,
    conversation_service_pb2.DESCRIPTOR,
    file_service_pb2.DESCRIPTOR,
    model_service_pb2.DESCRIPTOR,
    ops_service_pb2.DESCRIPTOR,
    run_service_pb2.DESCRIPTOR,
    step_service_pb2.DESCRIPTOR,
    tool_service_pb2.DESCRIPTOR,
)
"""The files of the services that are served."""

FEATURES = (
    "actions",
    "callback_endpoints",
    "audit",
    "cancel",
    "cancel_rollback",
    "conversations",
    "dispatch_pauses",
    "durable_accept",
    "files",
    "idempotency_by_otid",
    "idempotency_by_request_id",
    "memory_blocks",
    "override_model",
    "override_system",
    "queue_stats",
    "quotas",
    "run_explanations",
    "run_log",
    "steps",
    "tools",
    "validate_only",
    "wait",
    "watch",
    "watch_deltas",
    "watch_snapshot",
    "watch_turn",
    "when_busy_interrupt",
    "when_busy_reject",
    "when_busy_rollback",
    "when_pending",
)


def server_info(settings: Settings) -> v1.GetServerInfoResponse:
    """What is so for all callers, and for the whole life of the process."""
    return v1.GetServerInfoResponse(
        version=version("sendoff"),
        contract_digest=contract_digest(SERVICE_FILES),
        features=sorted((*FEATURES, *(["python_tools"] if settings.python_tools else []))),
        limits={
            "max_request_bytes": settings.max_request_bytes,
            "max_waiting_accepts": settings.max_waiting_accepts,
            "max_queued_per_conversation": settings.max_queued_per_conversation,
            "max_stream_age_seconds": int(settings.max_stream_age_s),
            "max_wait_seconds": limits.MAX_WAIT_S,
            "max_page_size": limits.MAX_PAGE_SIZE,
            "max_messages_per_request": limits.MAX_MESSAGES,
            "max_parts_per_content": limits.MAX_PARTS,
            "max_text_bytes": limits.MAX_TEXT_BYTES,
            "max_image_bytes": limits.MAX_IMAGE_BYTES,
            "max_system_bytes": limits.MAX_SYSTEM_BYTES,
            "max_json_bytes": limits.MAX_JSON_BYTES,
            "max_run_metadata_bytes": limits.MAX_RUN_METADATA_BYTES,
            "max_block_characters": limits.MAX_BLOCK_CHARACTERS,
            "max_blocks_per_agent": limits.MAX_AGENT_BLOCKS,
            "max_callback_endpoints": limits.MAX_ENDPOINTS,
            "max_dispatch_pauses": limits.MAX_DISPATCH_PAUSES,
            **({"max_running_per_agent": settings.max_running_per_agent} if settings.max_running_per_agent else {}),
            **({"max_running_per_tenant": settings.max_running_per_tenant} if settings.max_running_per_tenant else {}),
            "max_labels": limits.MAX_LABELS,
            "max_steps": limits.MAX_STEPS,
            "action_timeout_seconds": int(settings.action_timeout_s),
            "max_tools_per_agent": limits.MAX_AGENT_TOOLS,
        },
    )


class Quotas(Protocol):
    """Who knows what callers may have."""

    async def told(self, tenant: str) -> Sequence[v1.Quota]: ...


class ServerInfo:
    """The use case of who wants to know where he is."""

    def __init__(self, info: v1.GetServerInfoResponse, quotas: Quotas) -> None:
        self._info = info
        self._quotas = quotas

    async def get(self, tenant: str) -> v1.GetServerInfoResponse:
        """What is so for all, with the quotas of the caller."""
        told = v1.GetServerInfoResponse()
        told.CopyFrom(self._info)
        told.quotas.extend(await self._quotas.told(tenant))
        return told


def contract_digest(files: Iterable[FileDescriptor]) -> str:
    """SHA-256 of these files and those of the contract that they import, without comments, in order of their names."""
    found: dict[str, FileDescriptor] = {}
    _gather(files, found)
    contract = FileDescriptorSet()
    for name in sorted(found):
        found[name].CopyToProto(contract.file.add())
    return hashlib.sha256(contract.SerializeToString(deterministic=True)).hexdigest()


def _gather(files: Iterable[FileDescriptor], found: dict[str, FileDescriptor]) -> None:
    for file in files:
        if file.package == "sendoff.v1" and file.name not in found:
            found[file.name] = file
            _gather(file.dependencies, found)
