"""What an error of an RPC tells its caller."""

from __future__ import annotations

from typing import Any, cast

import grpc
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    """The rich status of an error; None if it has none."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return status_pb2.Status.FromString(cast(bytes, value))
    return None


class Told:
    """What the details of an error tell."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.message = error.details()
        status = status_of(error)
        assert status is not None, f"no details: {error.code()} {error.details()}"
        assert status.code == error.code().value[0]
        assert status.message == error.details()
        self.kinds = [detail.type_url.rpartition(".")[2] for detail in status.details]
        self._details = status.details

    def _unpacked(self, kind: type[Any]) -> Any:
        unpacked = kind()
        for detail in self._details:
            if detail.Unpack(unpacked):
                return unpacked
        raise AssertionError(f"no {kind.__name__} among {self.kinds}")

    @property
    def info(self) -> details.ErrorInfo:
        return cast(details.ErrorInfo, self._unpacked(details.ErrorInfo))

    @property
    def violations(self) -> dict[str, str]:
        """By field, what is wrong with it."""
        bad = cast(details.BadRequest, self._unpacked(details.BadRequest))
        return {violation.field: violation.description for violation in bad.field_violations}

    @property
    def quotas(self) -> dict[str, str]:
        """By whose it is, which quota was reached."""
        failure = cast(details.QuotaFailure, self._unpacked(details.QuotaFailure))
        return {violation.subject: violation.description for violation in failure.violations}

    @property
    def retry_after_s(self) -> float:
        delay = cast(details.RetryInfo, self._unpacked(details.RetryInfo)).retry_delay
        return delay.seconds + delay.nanos / 1e9

    @property
    def resource(self) -> tuple[str, str]:
        resource = cast(details.ResourceInfo, self._unpacked(details.ResourceInfo))
        return resource.resource_type, resource.resource_name
