"""A contract as it was, with classes of its own: what stubs were made from then, whatever the contract is today."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message

PACKAGE = "sendoff.v1"


class Contract:
    """Messages and methods of a descriptor set. Its classes share nothing with those of `sendoff.v1`."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self.files = files
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        self._classes = message_factory.GetMessageClassesForFiles([file.name for file in files.file], pool)
        self.methods = dict(_methods(pool, files))
        """By path, as "sendoff.v1.RunService/GetRun"."""

    @classmethod
    def read(cls, path: Path) -> Contract:
        """From a file that `write` has made."""
        return cls(FileDescriptorSet.FromString(gzip.decompress(path.read_bytes())))

    def write(self, path: Path) -> None:
        """Compressed; the same contract is the same bytes."""
        path.write_bytes(gzip.compress(self.files.SerializeToString(deterministic=True), 9, mtime=0))

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.files.SerializeToString(deterministic=True)).hexdigest()

    @property
    def messages(self) -> dict[str, type[Message]]:
        """The messages of our package by their short names, as "Run"; nested ones as "StreamEnd.Reason"."""
        start = PACKAGE + "."
        return {name[len(start) :]: each for name, each in self._classes.items() if name.startswith(start)}

    def request(self, path: str, fields: dict[str, object]) -> Message:
        """A request of this method, from fields as in protobuf's JSON. Raises ParseError for one that there is not."""
        return json_format.ParseDict(fields, self.parse_request(path, b""))

    def parse_request(self, path: str, raw: bytes) -> Message:
        return self._classes[self.methods[path].input_type.full_name].FromString(raw)

    def parse_response(self, path: str, raw: bytes) -> Any:
        return self._classes[self.methods[path].output_type.full_name].FromString(raw)


def _methods(pool: descriptor_pool.DescriptorPool, files: FileDescriptorSet) -> list[tuple[str, MethodDescriptor]]:
    services = [
        pool.FindServiceByName(f"{file.package}.{service.name}")
        for file in files.file
        for service in file.service
        if file.package == PACKAGE
    ]
    return [(f"{service.full_name}/{method.name}", method) for service in services for method in service.methods]
