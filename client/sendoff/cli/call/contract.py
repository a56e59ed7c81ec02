"""The RPCs of the contract, found in the generated code: one that is added there can be called here."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import sendoff.v1


@dataclass(frozen=True)
class Rpc:
    """One RPC."""

    method: MethodDescriptor

    @property
    def name(self) -> str:
        """As it is spoken of: Service/Method."""
        return f"{self.method.containing_service.name}/{self.method.name}"

    @property
    def path(self) -> str:
        """As it stands in HTTP/2: /package.Service/Method."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def request(self) -> type[Message]:
        return GetMessageClass(self.method.input_type)

    @property
    def response(self) -> type[Message]:
        return GetMessageClass(self.method.output_type)

    def is_repeatable(self, request: Message) -> bool:
        """Whether the request may be sent again when nobody knows what became of it."""
        is_idempotent = self.method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
        return is_idempotent or bool(getattr(request, "request_id", ""))


@cache
def modules() -> tuple[ModuleType, ...]:
    """The modules of messages and services."""
    names = sorted(each.name for each in pkgutil.iter_modules(sendoff.v1.__path__) if each.name.endswith("_pb2"))
    return tuple(importlib.import_module(f"sendoff.v1.{name}") for name in names)


@cache
def rpcs() -> Mapping[str, Rpc]:
    """All, by name and in its order."""
    services = [service for module in modules() for service in _file(module).services_by_name.values()]
    found = [Rpc(method) for service in services for method in service.methods]
    return {rpc.name: rpc for rpc in sorted(found, key=lambda rpc: rpc.name)}


def rpc_named(text: str) -> Rpc:
    """The RPC that is meant by Service/Method, with its package or without, or by the method alone.

    Raises LookupError, whose text says what there is that is like it.
    """
    wanted = text.removeprefix("/").removeprefix("sendoff.v1.").replace(".", "/")
    if (exact := rpcs().get(wanted)) is not None:
        return exact
    alone = [rpc for rpc in rpcs().values() if rpc.method.name.lower() == wanted.lower()]
    if len(alone) == 1:
        return alone[0]
    words = {word: rpc.name for rpc in rpcs().values() for word in (rpc.name, rpc.method.name)}
    like = dict.fromkeys(words[word] for word in difflib.get_close_matches(wanted, words))
    hint = f"is it {' or '.join(like)}?" if like else "`sendoff call` shows all"
    raise LookupError(f"there is no RPC {text!r}; {hint}")


def rpc_names(incomplete: str) -> list[str]:
    """For the shell to complete: RPCs in full, and by their methods alone."""
    names = (*rpcs(), *(rpc.method.name for rpc in rpcs().values()))
    return sorted(name for name in names if name.startswith(incomplete))


def _file(module: ModuleType) -> FileDescriptor:
    described = module.DESCRIPTOR
    assert isinstance(described, FileDescriptor)
    return described
