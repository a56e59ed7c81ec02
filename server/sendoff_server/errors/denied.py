"""Errors that say: bring another credential."""

from __future__ import annotations

from sendoff_server.errors.base import ServiceError


class Denied(ServiceError):
    """The request may be right, but not from this caller."""


class Unauthenticated(Denied):
    """One text for a credential that is missing, unknown, revoked, expired or damaged: it tells nothing about keys."""

    reason = "UNAUTHENTICATED"
    grpc_code = "UNAUTHENTICATED"
    http_status = 401

    def __init__(self) -> None:
        super().__init__(
            "this server wants an API key that counts: send `authorization: Bearer <key>`; whoever runs the server "
            "makes one with `sendoff-server keys create`"
        )


class PermissionDenied(Denied):
    """The key counts, and its role is not enough."""

    reason = "PERMISSION_DENIED"
    grpc_code = "PERMISSION_DENIED"
    http_status = 403

    def __init__(self, role: str, permission: str) -> None:
        super().__init__(
            f"this takes the permission {permission}, which the role {role!r} of the API key does not have",
            role=role,
            permission=permission,
        )
