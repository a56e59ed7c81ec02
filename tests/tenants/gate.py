"""A gate that knows tenants by their names: whoever says `Bearer alpha` is alpha, and so is who says `Bearer alpha/7`,
with a credential of its own."""

from __future__ import annotations

from sendoff_server.access.gate import Credentials
from sendoff_server.access.principal import Permission, Principal

_SCHEME = "Bearer "


def credential(tenant: str, key_id: str = "") -> str:
    """What a caller of that tenant says."""
    return f"{_SCHEME}{tenant}/{key_id}"


class NamedTenants:
    """Lets everybody in as the tenant that they name, whatever they want to do: it is not the roles that are tried."""

    async def admit(self, credentials: Credentials, *needed: Permission) -> Principal:
        said = credentials.authorization or ""
        if not said.startswith(_SCHEME):
            raise AssertionError(f"a test calls for nobody: {said!r}")
        tenant, _, key_id = said.removeprefix(_SCHEME).partition("/")
        return Principal(tenant, None, key_id)

    async def recheck(self, principal: Principal) -> None:
        """Nothing has changed."""
