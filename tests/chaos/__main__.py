"""`python -m tests.chaos`, see --help."""

from __future__ import annotations

import asyncio
import sys

from tests.chaos.drive import run
from tests.chaos.plan import Plan, asked


def main(plan: Plan) -> int:
    print(f"seed {plan.seed}", flush=True)
    report = asyncio.run(run(plan))
    print(f"\n{report.text}")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main(asked()))
