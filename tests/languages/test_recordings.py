"""What servers have answered, older and newer ones, goes through the generated code of other languages whole.

The files are those of tests/evolution; so are the programs, which use what the examples have generated.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.evolution.exchanges import save
from tests.evolution.recordings import EXCHANGES, RECORDED, names, recording
from tests.evolution.tomorrow import answered_tomorrow
from tests.languages.program import environment, running
from tests.languages.toolchain import LANGUAGES, Language

PROGRAMS = Path(__file__).parents[1] / "evolution"
DECODERS = {"go": "go run .", "node": "node decode.mjs"}
WITH_DECODER = [language for language in LANGUAGES if language.name in DECODERS]


async def decoded(language: Language, *files: Path) -> list[tuple[int, int]]:
    """Of each file, how many messages were read and written again, and how many had something unknown in them."""
    script = f"{DECODERS[language.name]} {' '.join(map(str, files))}"
    async with running(PROGRAMS / language.name, script, environment()) as program:
        assert await program.ended() == 0, program.told()
    found = [re.fullmatch(r".* messages=(\d+) unknown=(\d+)", line) for line in program.lines]
    return [(int(each[1]), int(each[2])) for each in found if each]


def counted(name: str) -> int:
    return sum(len(made.requests) + len(made.responses) for made in recording(name).exchanges)


@pytest.mark.parametrize("language", WITH_DECODER, indirect=True, ids=lambda language: language.name)
async def test_what_older_servers_have_answered_is_read_and_written_again_without_loss(language: Language) -> None:
    found = await decoded(language, *(RECORDED / name / EXCHANGES for name in names()))

    assert found == [(counted(name), 0) for name in names()]


@pytest.mark.parametrize("language", WITH_DECODER, indirect=True, ids=lambda language: language.name)
async def test_fields_values_and_arms_of_a_newer_server_survive_being_read_and_written_again(
    language: Language, tmp_path: Path
) -> None:
    newer = answered_tomorrow(recording(names()[-1]))
    save(tmp_path / EXCHANGES, newer.exchanges)

    ((messages, unknown),) = await decoded(language, tmp_path / EXCHANGES)

    assert messages == sum(len(made.requests) + len(made.responses) for made in newer.exchanges)
    assert unknown > messages / 2, "every answer has something new, and most have it in several places"
