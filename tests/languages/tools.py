"""Runs what examples/tools.md says, by the very commands that it has."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.languages.program import BUILD_TIMEOUT_S, environment, running
from tests.languages.toolchain import EXAMPLES, GO, Need, Tool

BINARIES = Path(sys.prefix) / "tools"
"""Where tools are installed that come as source code: in the checkout's environment, and made once."""

_PAGE = EXAMPLES / "tools.md"


@dataclass(frozen=True, slots=True)
class GenericTool:
    """One that has a section of the page."""

    name: str
    needs: tuple[Need, ...] = ()
    """What the machine must have: the tool, or what it is installed with. None: it is in the environment."""

    @property
    def is_built(self) -> bool:
        return GO in self.needs

    def block(self, heading: str) -> str:
        """The one block of commands that are run under that heading of its section."""
        section = _section(_PAGE.read_text(), f"## {self.name}")
        (block,) = re.findall(r"^```sh\n(.*?)^```$", _section(section, f"### {heading}"), re.MULTILINE | re.DOTALL)
        return str(block)


BUF = GenericTool("buf")
GRPCURL = GenericTool("grpcurl", (GO,))
PROBE = GenericTool("grpc-health-probe", (GO,))
GHZ = GenericTool("ghz", (GO,))
H2LOAD = GenericTool("h2load", (Tool("h2load", "nghttp2-client"),))


@dataclass(frozen=True, slots=True)
class Said:
    """What came of commands."""

    code: int
    out: str
    errors: str

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.errors}"


async def said(script: str, folder: Path, variables: Mapping[str, str], timeout_s: float = 120.0) -> Said:
    """Run commands to their end, with the tools at hand."""
    known = environment(**variables)
    known["PATH"] = f"{BINARIES}:{known['PATH']}"
    known["GOBIN"] = str(BINARIES)
    async with running(folder, script, known) as program:
        code = await program.ended(timeout_s)
        return Said(code, "\n".join(program.lines), "".join(program.notes))


@dataclass(slots=True)
class Installs:
    """Installs each tool once."""

    _done: dict[str, Said] = field(default_factory=dict)

    async def install(self, tool: GenericTool) -> str:
        """Its version. Fails with what the commands said, and again so for everybody who asks later."""
        if tool.name not in self._done:
            BINARIES.mkdir(exist_ok=True)
            self._done[tool.name] = await said(_to_install(tool), BINARIES, {}, BUILD_TIMEOUT_S)
        done = self._done[tool.name]
        assert done.code == 0, f"{tool.name} was not installed: {done}"
        return done.out.splitlines()[-1]


def _to_install(tool: GenericTool) -> str:
    """Ends with a line that has the version."""
    if tool.is_built:  # few of them know their version; Go has written it into the binary
        return f"{tool.block('Install')}go version -m {tool.name} | awk '$1 == \"mod\" {{print $3}}'"
    return f"{tool.name} --version"


def _section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of its rank."""
    rank = heading.split(" ")[0]
    (section,) = re.findall(rf"^{heading}\n(.*?)(?=^{rank} |\Z)", text, re.MULTILINE | re.DOTALL)
    return str(section)
