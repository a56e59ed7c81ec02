"""Makes `client/sendoff/v1` from the protos, and `typings/` for messages that come without types.

Run by the development environment; protoc itself runs in the generator's environment (`requirements/gen.in`), whose
version is every client's minimum, while the plugin that writes the type stubs is the development environment's own.
With `--check` it changes nothing and tells what is not fresh.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GENERATOR = ROOT / ".venv-gen"
PLUGINS = Path(sys.executable).parent
PACKAGE = Path("client/sendoff/v1")
TYPINGS = Path("typings/google/rpc")
MADE = (PACKAGE, TYPINGS)
"""Folders that hold nothing else than what is made here."""

HEADER = '''"""The messages and enums of `sendoff.v1` and the values of the enums; services are in `*_service_pb2_grpc`.

Made by `make proto`; do not edit.
"""

'''


def protoc(imports: Path, files: list[str], *options: str) -> None:
    command = [str(GENERATOR / "bin" / "python"), "-m", "grpc_tools.protoc", f"-I{imports}", *options, *files]
    subprocess.run(command, check=True)  # noqa: S603  the command is ours, nothing of it comes from outside


def names(proto: Path) -> list[str]:
    """Messages, enums and enum values at the top level of a proto file."""
    text = proto.read_text()
    values = [
        re.findall(r"^  (\w+) =", body, re.MULTILINE) for body in re.findall(r"^enum \w+ {(.*?)^}", text, re.M | re.S)
    ]
    return re.findall(r"^(?:message|enum) (\w+)", text, re.MULTILINE) + [name for listed in values for name in listed]


def exports(protos: list[Path]) -> str:
    """The package's `__init__.py`."""
    modules = {proto.stem + "_pb2": sorted(names(proto)) for proto in protos}
    lines = [f"from sendoff.v1.{module} import {name} as {name}\n" for module in modules for name in modules[module]]
    return HEADER + "".join(lines)


def generate_package(output: Path, protos: list[Path]) -> None:
    """Messages, services and their type stubs, and the `__init__.py` that exports the messages."""
    output.joinpath(PACKAGE).mkdir(parents=True)
    out = output / PACKAGE.parts[0]
    every = [str(proto.relative_to(PROTOS)) for proto in protos]
    services = [name for name in every if name.endswith("_service.proto")]
    mypy, mypy_grpc = PLUGINS / "protoc-gen-mypy", PLUGINS / "protoc-gen-mypy_grpc"
    protoc(PROTOS, every, f"--python_out={out}", f"--plugin={mypy}", f"--mypy_out=quiet:{out}")
    grpc_options = (f"--grpc_python_out={out}", f"--plugin={mypy_grpc}", f"--mypy_grpc_out=quiet,only_async:{out}")
    protoc(PROTOS, services, *grpc_options)
    output.joinpath(PACKAGE, "__init__.py").write_text(exports(protos))


def generate_typings(output: Path) -> None:
    """Type stubs of google.rpc, whose own package has none that a strict check accepts."""
    out = output / TYPINGS.parts[0]
    out.mkdir(parents=True)
    (packages,) = GENERATOR.glob("lib/python3*/site-packages")
    files = [f"google/rpc/{name}.proto" for name in ("code", "error_details", "status")]
    protoc(packages, files, f"--plugin={PLUGINS / 'protoc-gen-mypy'}", f"--mypy_out=quiet:{out}")


def contents(root: Path) -> dict[Path, bytes]:
    """Every file below `root` that is made here, by its path from `root`."""
    paths = [path for folder in MADE for path in root.joinpath(folder).glob("*.py*") if path.is_file()]
    return {path.relative_to(root): path.read_bytes() for path in paths}


def stale(root: Path, fresh: dict[Path, bytes]) -> list[Path]:
    """Files below `root` that are missing, different or too many."""
    present = contents(root)
    return sorted(path for path in present.keys() | fresh.keys() if present.get(path) != fresh.get(path))


def update(root: Path, fresh: dict[Path, bytes]) -> None:
    """Bring what is below `root` to `fresh`; files that are fresh already are not touched."""
    for path in stale(root, fresh):
        if path in fresh:
            root.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            root.joinpath(path).write_bytes(fresh[path])
        else:
            root.joinpath(path).unlink()


def generated() -> dict[Path, bytes]:
    """Everything, as it is made from the protos now."""
    with tempfile.TemporaryDirectory() as scratch:
        generate_package(Path(scratch), sorted(PROTOS.glob("sendoff/v1/*.proto")))
        generate_typings(Path(scratch))
        return contents(Path(scratch))


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate client/sendoff/v1 and typings/ from protos/.")
    parser.add_argument("--check", action="store_true", help="change nothing; name the files that are not fresh")
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout to compare or to write")
    options = parser.parse_args()
    fresh = generated()
    if not options.check:
        update(options.root, fresh)
        return 0
    old = stale(options.root, fresh)
    print("".join(f"not what protos/ makes: {path}\n" for path in old), end="")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
