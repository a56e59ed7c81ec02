"""The templates of buf in the contract's bundle: each generates what its language calls with, where its plugins are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROTOC = ROOT / ".venv-gen/bin"
GO_EXAMPLE = ROOT / "examples/go"
GO_PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc",
)
NPM_PACKAGES = ("ts-proto@2.18.0", "@bufbuild/protoc-gen-es@2.17.0", "@bufbuild/protobuf@2.17.0")
JAVA_PLUGIN = "io/grpc/protoc-gen-grpc-java/*/protoc-gen-grpc-java-*.exe"
"""In Maven's repository, once the example in Java was built."""
TIMEOUT_S = 300

STUBS = {
    "cpp": "sendoff/v1/run_service.grpc.pb.h",
    "csharp": "V1/RunServiceGrpc.cs",
    "dart": "sendoff/v1/run_service.pbgrpc.dart",
    "es": "sendoff/v1/run_service_pb.ts",
    "go": "sendoff/v1/run_service_grpc.pb.go",
    "java": "dev/sendoff/v1/RunServiceGrpc.java",
    "kotlin": "dev/sendoff/v1/RunServiceOuterClassGrpcKt.kt",
    "objc": "sendoff/v1/RunService.pbrpc.h",
    "php": "Sendoff/V1/RunServiceClient.php",
    "python": "sendoff/v1/run_service_pb2_grpc.py",
    "ruby": "sendoff/v1/run_service_services_pb.rb",
    "rust": "sendoff/v1/sendoff.v1.tonic.rs",
    "swift": "sendoff/v1/run_service.grpc.swift",
    "ts-proto": "sendoff/v1/run_service.ts",
}
"""What a program in the language calls runs with."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The full bundle, unpacked."""
    folder = tmp_path_factory.mktemp("bundle")
    run([sys.executable, str(ROOT / "release/bundle.py"), "--output", str(folder)], folder)
    (archive,) = folder.glob("*[0-9].tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those that are not programs of the system, as far as this machine can have them."""
    folder = tmp_path_factory.mktemp("plugins")
    if shutil.which("go"):
        run(["go", "build", "-o", f"{folder}/", *GO_PLUGINS], GO_EXAMPLE)
    for found in sorted(Path.home().glob(f".m2/repository/{JAVA_PLUGIN}")):
        shutil.copy2(found, folder / "protoc-gen-grpc-java")
        folder.joinpath("protoc-gen-grpc-java").chmod(0o755)
    return folder


def run(command: list[str], cwd: Path, *first: Path) -> None:
    """Run it to its good end, with these folders at the beginning of its path."""
    environment = {**os.environ, "PATH": os.pathsep.join([*map(str, first), os.environ["PATH"]])}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr


def missing(template: Path, plugins: Path) -> list[str]:
    """The plugins that the template names and that are not here."""
    named = [plugin["local"] for plugin in yaml.safe_load(template.read_text())["plugins"] if "local" in plugin]
    commands = [name[0] if isinstance(name, list) else name for name in named]
    return [name for name in commands if not shutil.which(name, path=f"{plugins}{os.pathsep}{os.environ['PATH']}")]


@pytest.mark.parametrize("language", STUBS)
def test_a_template_generates_what_its_language_calls_with(bundle: Path, plugins: Path, language: str) -> None:
    template = bundle / f"buf.gen.{language}.yaml"
    if absent := missing(template, plugins):
        pytest.skip(f"{template.name} is NOT TESTED, for want of {', '.join(absent)}")
    if "npx" in template.read_text():
        run(["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", *NPM_PACKAGES], bundle)

    run([str(Path(sys.executable).with_name("buf")), "generate", "--template", template.name], bundle, plugins, PROTOC)

    assert bundle.joinpath("gen", language, STUBS[language]).exists(), sorted(bundle.glob(f"gen/{language}/**/run_*"))


def test_each_template_is_tested(bundle: Path) -> None:
    assert {path.name for path in bundle.glob("buf.gen.*.yaml")} == {f"buf.gen.{language}.yaml" for language in STUBS}


def test_the_default_template_generates_the_messages_without_a_plugin(bundle: Path) -> None:
    run([str(Path(sys.executable).with_name("buf")), "generate"], bundle, PROTOC)

    for made in ("java/dev/sendoff/v1/Run.java", "objc/sendoff/v1/Run.pbobjc.h", "ruby/sendoff/v1/run_pb.rb"):
        assert bundle.joinpath("gen/messages", made).exists()


def test_a_package_of_ones_own_is_given_as_the_page_says(bundle: Path, tmp_path: Path) -> None:
    page = bundle.joinpath("README.md").read_text()
    (managed,) = (block.partition("```")[0] for block in page.split("```yaml\n")[1:])
    template = tmp_path / "buf.gen.yaml"
    template.write_text(f"version: v2\n{managed}plugins:\n  - protoc_builtin: java\n    out: {tmp_path}/gen\n")

    run([str(Path(sys.executable).with_name("buf")), "generate", "--template", str(template)], bundle, PROTOC)

    assert tmp_path.joinpath("gen/com/example/sendoff/v1/Run.java").exists()
