"""The `sendoff` command."""

from __future__ import annotations

import os
import sys

_PACKAGES = {"typer", "rich", "standardwebhooks"}


def main() -> None:
    """Run the command line of this process; exits it."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's own log would stand between the answer's words
    try:
        from sendoff.cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name not in _PACKAGES:
            raise
        sys.exit(f"sendoff: the command needs {missing.name}: pip install 'sendoff[cli]'")
    app(prog_name="sendoff")


if __name__ == "__main__":
    main()
