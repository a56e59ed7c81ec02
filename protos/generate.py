"""Makes `client/sendoff/v1` from the protos: `python protos/generate.py [OUTPUT_ROOT]`.

Run by the development environment; protoc itself runs in the generator's environment (`requirements/gen.in`), whose version is
every client's minimum, while the plugin that writes the type stubs is the development environment's own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = Path("sendoff/v1")
GENERATOR = ROOT / ".venv-gen" / "bin" / "python"
PLUGINS = Path(sys.executable).parent

HEADER = '''"""The messages and enums of `sendoff.v1`, and nothing else. Services are in the `*_service_pb2_grpc` modules.

Made by `make proto`; do not edit.
"""

'''


def protoc(output: Path, files: list[str], *options: str) -> None:
    command = [str(GENERATOR), "-m", "grpc_tools.protoc", f"-I{PROTOS}", *options, *files]
    subprocess.run(command, check=True, cwd=output)


def names(proto: Path) -> list[str]:
    """Top-level messages and enums of a proto file."""
    return re.findall(r"^(?:message|enum) (\w+)", proto.read_text(), re.MULTILINE)


def write_package(output: Path, protos: list[Path]) -> None:
    modules = {proto.stem + "_pb2": sorted(names(proto)) for proto in protos}
    lines = [f"from sendoff.v1.{module} import {name} as {name}" for module, listed in modules.items() for name in listed]
    (output / PACKAGE / "__init__.py").write_text(HEADER + "\n".join(lines) + "\n")


def main() -> None:
    output = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "client").resolve()
    shutil.rmtree(output / PACKAGE, ignore_errors=True)
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
    write_package(output, protos)


if __name__ == "__main__":
    main()
