"""The server with a lease of CHAOS_LEASE_S seconds, and beats that fit, for runs of the test that have little time."""

from __future__ import annotations

import os

from sendoff_server import __main__, app


def main() -> None:
    lease_s = float(os.environ["CHAOS_LEASE_S"])
    app.BEAT_S, app.LEASE_S = app.BEAT_S * lease_s / app.LEASE_S, lease_s
    __main__.main()


if __name__ == "__main__":
    main()
