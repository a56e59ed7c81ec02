"""The page for those who move from Letta names, for each difference, a test that shows it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "server/sendoff_server/gateway/README.md").read_text()


def test_each_difference_is_shown_by_a_test_that_there_is() -> None:
    moving = PAGE.partition("## Moving from Letta")[2].partition("\n## ")[0]
    rows = [line for line in moving.splitlines() if line.startswith("| ")][2:]

    assert len(rows) > 25
    for row in rows:
        (shown,) = re.findall(r"`(tests/\S+?\.py)::(test_\w+)` \|$", row)
        path, name = shown
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), name
