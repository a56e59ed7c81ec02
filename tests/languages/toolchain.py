"""The languages whose examples are built and run, and what a machine must have for each."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True, slots=True)
class Tool:
    """A command that must be there."""

    command: str
    package: str
    """Debian's package that has it, or where else it comes from."""
    asks_version: tuple[str, ...] = ("--version",)

    def version(self) -> str:
        """The first words of what it says, with its name."""
        told = subprocess.run([self.command, *self.asks_version], capture_output=True, text=True, timeout=60)
        lines = (told.stdout or told.stderr).strip().splitlines()
        words = re.sub(r"\x1b\[\d*m| \(.*?\)", "", lines[0]).split()[:3] if lines else ["?"]
        return " ".join(words if any(self.command in word for word in words) else [self.command, *words])


@dataclass(frozen=True, slots=True)
class Library:
    """A library of the system that must be there, as pkg-config knows it."""

    name: str
    package: str

    def version(self) -> str:
        return f"{self.name} {_pkg_config(self.name)}"


Need = Tool | Library

GO = Tool("go", "golang-go 1.26 or newer", ("version",))
NODE = Tool("node", "nodejs")
NPM = Tool("npm", "npm")
JAVA = Tool("javac", "openjdk-17-jdk-headless")
MAVEN = Tool("mvn", "maven")
CARGO = Tool("cargo", "cargo 1.88 or newer, by rustup")
CXX = Tool("g++", "g++")
CMAKE = Tool("cmake", "cmake")
PROTOC = Tool("protoc", "protobuf-compiler")
GRPC_CPP_PLUGIN = Tool("grpc_cpp_plugin", "protobuf-compiler-grpc", ())
PYTHON = Tool("python3", "python3-venv")
CURL = Tool("curl", "curl")
JQ = Tool("jq", "jq")
GRPC_CXX = Library("grpc++", "libgrpc++-dev")


@dataclass(frozen=True, slots=True)
class Language:
    """One example."""

    name: str
    """Of its folder."""
    needs: tuple[Need, ...]
    over: str = "grpc"
    """The door that it uses: grpc or rest."""

    @property
    def folder(self) -> Path:
        return EXAMPLES / self.name


# What takes longest to build comes first, so that it is not what all wait for at the end.
LANGUAGES = (
    Language("rust", (CARGO,)),
    Language("cpp", (CXX, CMAKE, PROTOC, GRPC_CPP_PLUGIN, GRPC_CXX)),
    Language("java", (JAVA, MAVEN)),
    Language("go", (GO,)),
    Language("node", (NODE, NPM)),
    Language("python", (PYTHON,)),
    Language("web", (CURL, JQ), over="rest"),
)


def missing(needs: tuple[Need, ...]) -> list[str]:
    """What is not there, each with what to install."""
    return [f"{_name(need)} (install {need.package})" for need in needs if not _is_there(need)]


def versions(needs: tuple[Need, ...]) -> str:
    return ", ".join(need.version() for need in needs if not isinstance(need, Tool) or need.asks_version)


def _name(need: Need) -> str:
    return need.command if isinstance(need, Tool) else need.name


def _is_there(need: Need) -> bool:
    if isinstance(need, Tool):
        return shutil.which(need.command) is not None
    return shutil.which("pkg-config") is not None and bool(_pkg_config(need.name))


def _pkg_config(library: str) -> str:
    told = subprocess.run(["pkg-config", "--modversion", library], capture_output=True, text=True, timeout=60)
    return told.stdout.strip()
