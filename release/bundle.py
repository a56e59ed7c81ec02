"""Makes the contract's bundles: `dist/sendoff-protos-VERSION.tar.gz`, and `-lean`, for callers without this checkout.

The full one has all that a caller in any language compiles and configures, the lean one the protos of `sendoff.v1` and
their descriptor set alone. Each is the same bytes whenever it is made from the same sources; their checksums stand
beside them.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from importlib.metadata import files as files_of
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
BUF = Path(sys.executable).parent / "buf"

DESCRIPTORS = "sendoff.binpb"
"""A `google.protobuf.FileDescriptorSet`, as grpcurl, ghz and gateways take it; complete, with all imports."""

GOOGLE_RPC = ("google/rpc/code.proto", "google/rpc/error_details.proto", "google/rpc/status.proto")
"""What errors carry beside the status; nothing of the contract imports them."""

Tree = dict[str, bytes]
"""Files by their paths in a bundle."""


def version() -> str:
    """The project's, which is the bundle's."""
    declared: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return declared


def contract() -> Tree:
    """The protos of `sendoff.v1`."""
    return {path.relative_to(PROTOS).as_posix(): path.read_bytes() for path in PROTOS.glob("sendoff/v1/*.proto")}


def beside_the_contract() -> Tree:
    """Protos of others that callers meet: details of errors, and health."""
    google = {
        path.as_posix(): path.read_binary()
        for path in files_of("googleapis-common-protos") or ()
        if path.as_posix() in GOOGLE_RPC
    }
    if len(google) != len(GOOGLE_RPC):
        raise SystemExit(f"googleapis-common-protos lacks {sorted(set(GOOGLE_RPC) - google.keys())}")
    health = "grpc/health/v1/health.proto"
    return {**google, health: (PROTOS / health).read_bytes()}


def configuration() -> Tree:
    """What `buf` and gRPC are configured with."""
    paths = [*PROTOS.glob("buf*.yaml"), *(ROOT / "deploy").glob("grpc-service-config*.json")]
    return {path.name: path.read_bytes() for path in paths}


def descriptors(protos: Tree, *, comments: bool) -> bytes:
    """The descriptor set of these files and all that they import."""
    with tempfile.TemporaryDirectory() as scratch:
        lay_out(protos, Path(scratch))
        options = ["--as-file-descriptor-set", *([] if comments else ["--exclude-source-info"])]
        command = [str(BUF), "build", scratch, *options, "--output", "-#format=binpb"]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603  the command is ours


def lay_out(tree: Tree, folder: Path) -> None:
    """Write the files below `folder`."""
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def full() -> Tree:
    """All for callers, with comments everywhere."""
    protos = {**contract(), **beside_the_contract()}
    return {
        **protos,
        **configuration(),
        DESCRIPTORS: descriptors(protos, comments=True),
        "README.md": (PROTOS / "CALLERS.md").read_bytes(),
        "LICENSE": (ROOT / "LICENSE").read_bytes(),
        "VERSION": f"{version()}\n".encode(),
    }


def lean() -> Tree:
    """The contract and nothing else."""
    return {
        **contract(),
        DESCRIPTORS: descriptors(contract(), comments=False),
        "LICENSE": (ROOT / "LICENSE").read_bytes(),
        "VERSION": f"{version()}\n".encode(),
    }


def packed(tree: Tree, top: str) -> bytes:
    """The files as a compressed archive, below one folder `top`: in one order, of no time and nobody's."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(tree):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(tree[name])
            tar.addfile(entry, io.BytesIO(tree[name]))
    return gzip.compress(archive.getvalue(), compresslevel=9, mtime=0)


def bundles() -> dict[str, bytes]:
    """Both archives by their file names."""
    full_name, lean_name = f"sendoff-protos-{version()}", f"sendoff-protos-{version()}-lean"
    return {
        f"{full_name}.tar.gz": packed(full(), full_name),
        f"{lean_name}.tar.gz": packed(lean(), lean_name),
    }


def checksums(archives: dict[str, bytes]) -> bytes:
    """What `sha256sum --check` reads."""
    return "".join(f"{hashlib.sha256(archives[name]).hexdigest()}  {name}\n" for name in sorted(archives)).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the bundles of the contract.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="the folder to write them into")
    options = parser.parse_args()
    made = bundles()
    lay_out({**made, f"sendoff-protos-{version()}.sha256": checksums(made)}, options.output)
    for name, content in made.items():
        print(f"{name}  {len(content):,} bytes")


if __name__ == "__main__":
    main()
