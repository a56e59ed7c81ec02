"""The contract of today, as the client's generated code has it."""

from __future__ import annotations

import importlib
import pkgutil

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from sendoff import v1
from tests.evolution.contracts import Contract


def _files() -> FileDescriptorSet:
    """All that the methods need, what is imported before what imports it."""
    found: dict[str, FileDescriptorProto] = {}

    def add(name: str) -> None:
        if name not in found:
            file = FileDescriptorProto()
            pool.FindFileByName(name).CopyToProto(file)
            for imported in file.dependency:
                add(imported)
            found[name] = file

    pool = descriptor_pool.Default()
    for module in pkgutil.iter_modules(v1.__path__):
        if module.name.endswith("_service_pb2"):
            add(importlib.import_module(f"{v1.__name__}.{module.name}").DESCRIPTOR.name)
    return FileDescriptorSet(file=found.values())


TODAY = Contract(_files())
