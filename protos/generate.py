"""Makes `client/sendoff/v1` from the protos; with `--check` only tells which of it is not fresh.

Run by the development environment; protoc itself runs in the generator's environment (`requirements/gen.in`), whose
version is every client's minimum, while the plugin that writes the type stubs is the development environment's own.
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
CLIENT = ROOT / "client"
PACKAGE = Path("sendoff/v1")
GENERATOR = ROOT / ".venv-gen" / "bin" / "python"
PLUGINS = Path(sys.executable).parent

HEADER = '''"""The messages and enums of `sendoff.v1` and the values of the enums; services are in `*_service_pb2_grpc`.

Made by `make proto`; do not edit.
"""

'''


def protoc(output: Path, files: list[str], *options: str) -> None:
    command = [str(GENERATOR), "-m", "grpc_tools.protoc", f"-I{PROTOS}", *options, *files]
    subprocess.run(command, check=True, cwd=output)  # noqa: S603  the command is ours, nothing of it comes from outside


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


def generate(output: Path) -> None:
    """Write the whole package below `output`, which is empty."""
    (output / PACKAGE).mkdir(parents=True)
    protos = sorted((PROTOS / PACKAGE).glob("*.proto"))
    every = [str(PACKAGE / proto.name) for proto in protos]
    services = [name for name in every if name.endswith("_service.proto")]
    protoc(
        output,
        every,
        f"--python_out={output}",
        f"--mypy_out=quiet:{output}",
        f"--plugin=protoc-gen-mypy={PLUGINS / 'protoc-gen-mypy'}",
    )
    protoc(
        output,
        services,
        f"--grpc_python_out={output}",
        f"--mypy_grpc_out=quiet,only_async:{output}",
        f"--plugin=protoc-gen-mypy_grpc={PLUGINS / 'protoc-gen-mypy_grpc'}",
    )
    (output / PACKAGE / "__init__.py").write_text(exports(protos))


def contents(root: Path) -> dict[str, bytes]:
    """Name and content of every file of the package below `root`."""
    return {path.name: path.read_bytes() for path in (root / PACKAGE).glob("*.py*") if path.is_file()}


def stale(root: Path, fresh: dict[str, bytes]) -> list[str]:
    """Names of files below `root` that are missing, different or too many."""
    present = contents(root)
    return sorted(name for name in present.keys() | fresh.keys() if present.get(name) != fresh.get(name))


def update(root: Path, fresh: dict[str, bytes]) -> None:
    """Bring the package below `root` to `fresh`; files that are fresh already are not touched."""
    (root / PACKAGE).mkdir(parents=True, exist_ok=True)
    for name in stale(root, fresh):
        path = root / PACKAGE / name
        if name in fresh:
            path.write_bytes(fresh[name])
        else:
            path.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate client/sendoff/v1 from protos/.")
    parser.add_argument("--check", action="store_true", help="change nothing; name the files that are not fresh")
    parser.add_argument("--root", type=Path, default=CLIENT, help="generate below this folder instead of client/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = contents(Path(scratch))
    if options.check:
        old = stale(options.root, fresh)
        print("".join(f"not what protos/ makes: {options.root / PACKAGE / name}\n" for name in old), end="")
        return 1 if old else 0
    update(options.root, fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
