"""The bundles of the contract: what is in them, that they compile without the checkout, and stay the same bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_health.v1 import health_pb2

from sendoff import v1

ROOT = Path(__file__).parents[3]
COMPILERS = ROOT / ".venv-gen/bin"
"""Where `make` puts a protoc that knows these languages."""
LANGUAGES = ("cpp", "csharp", "java", "kotlin", "objc", "php", "pyi", "python", "ruby")
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both bundles, packed."""
    return make_bundles(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def full(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The full bundle, unpacked."""
    return unpack(dist, "", tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def lean(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lean bundle, unpacked."""
    return unpack(dist, "-lean", tmp_path_factory.mktemp("lean"))


def make_bundles(folder: Path) -> Path:
    run(sys.executable, str(ROOT / "release/bundle.py"), "--output", str(folder))
    return folder


def unpack(dist: Path, kind: str, folder: Path) -> Path:
    (archive,) = dist.glob(f"sendoff-protos-*[0-9]{kind}.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def run(*command: str, cwd: Path = ROOT) -> str:
    """What the command prints, with a protoc on its path. Fails unless it ends well."""
    environment = {**os.environ, "PATH": f"{COMPILERS}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def protoc(bundle: Path, out: Path, languages: tuple[str, ...]) -> None:
    """Compile everything in the bundle for these languages, which protoc knows by itself."""
    if not COMPILERS.joinpath("protoc").exists():
        pytest.fail(f"{COMPILERS.relative_to(ROOT)}/protoc is missing: `make test` makes it")
    for language in languages:
        out.joinpath(language).mkdir()
    run("protoc", "-I.", *(f"--{language}_out={out / language}" for language in languages), *protos(bundle), cwd=bundle)


def protos(bundle: Path) -> list[str]:
    return sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*.proto"))


def described(bundle: Path) -> FileDescriptorSet:
    return FileDescriptorSet.FromString(bundle.joinpath("sendoff.binpb").read_bytes())


def test_the_same_sources_make_the_same_bytes_and_their_checksums_fit(dist: Path, tmp_path: Path) -> None:
    again = make_bundles(tmp_path)

    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in dist.iterdir()
    }
    (sums,) = dist.glob("*.sha256")
    assert run("sha256sum", "--check", sums.name, cwd=dist).count(": OK\n") == 2


def test_both_bundles_have_the_whole_contract_as_it_stands_in_the_checkout(full: Path, lean: Path) -> None:
    contract = sorted(path.name for path in ROOT.glob("protos/sendoff/v1/*.proto"))

    for bundle in (full, lean):
        assert sorted(path.name for path in bundle.glob("sendoff/v1/*")) == contract
        for name in contract:
            assert bundle.joinpath("sendoff/v1", name).read_bytes() == (ROOT / "protos/sendoff/v1" / name).read_bytes()


def test_the_lean_bundle_holds_and_imports_nothing_of_others(lean: Path) -> None:
    imports = {line for name in protos(lean) for line in re.findall('^import "(.*)";', (lean / name).read_text(), re.M)}

    assert {path.name for path in lean.iterdir()} == {"LICENSE", "VERSION", "sendoff", "sendoff.binpb"}
    assert {name for name in imports if not name.startswith("google/protobuf/")} <= set(protos(lean))


def test_plain_protoc_compiles_the_full_bundle_for_every_language_that_it_knows(full: Path, tmp_path: Path) -> None:
    protoc(full, tmp_path, LANGUAGES)

    assert tmp_path.joinpath("cpp/google/rpc/error_details.pb.h").exists()
    assert tmp_path.joinpath("java/dev/sendoff/v1/Run.java").exists()
    assert tmp_path.joinpath("kotlin/dev/sendoff/v1/RunKt.kt").exists()
    assert tmp_path.joinpath("php/Sendoff/V1/Run.php").exists()
    assert "module Sendoff\n  module V1\n" in tmp_path.joinpath("ruby/sendoff/v1/run_pb.rb").read_text()
    assert "namespace Sendoff.V1 {" in tmp_path.joinpath("csharp/Run.cs").read_text()
    assert "@interface SDFRun : " in tmp_path.joinpath("objc/sendoff/v1/Run.pbobjc.h").read_text()
    assert "health_pb2.py" in {path.name for path in tmp_path.joinpath("python/grpc/health/v1").iterdir()}


def test_plain_protoc_compiles_the_lean_bundle_too(lean: Path, tmp_path: Path) -> None:
    protoc(lean, tmp_path, ("objc", "ruby"))

    assert tmp_path.joinpath("ruby/sendoff/v1/run_service_pb.rb").exists()


def test_to_buf_the_full_bundle_is_the_contract_alone_as_it_is_unpacked(full: Path) -> None:
    files = run(str(Path(sys.executable).with_name("buf")), "ls-files", cwd=full).splitlines()

    assert sorted(files) == sorted(name for name in protos(full) if name.startswith("sendoff/"))


def test_the_descriptor_set_is_complete_and_is_the_servers_own_contract(full: Path, lean: Path) -> None:
    for bundle in (full, lean):
        pool = descriptor_pool.DescriptorPool()
        for file in described(bundle).file:  # fails for an import that did not come before
            pool.AddSerializedFile(file.SerializeToString())
        service = pool.FindServiceByName("sendoff.v1.RunService")
        ours = v1.Run.DESCRIPTOR.file.pool.FindServiceByName("sendoff.v1.RunService")
        assert [method.name for method in service.methods] == [method.name for method in ours.methods]


def test_only_the_full_bundle_describes_with_comments_what_errors_and_health_carry_too(full: Path, lean: Path) -> None:
    complete, small = described(full), described(lean)

    assert {"google.rpc", "grpc.health.v1"} <= {file.package for file in complete.file}
    assert all(file.source_code_info.location for file in complete.file)
    assert {file.package for file in small.file} == {"sendoff.v1", "google.protobuf"}
    assert not any(file.source_code_info.location for file in small.file)


def test_the_health_service_beside_the_contract_is_the_standard_one(full: Path) -> None:
    (health,) = (file for file in described(full).file if file.package == "grpc.health.v1")
    standard = FileDescriptorProto.FromString(health_pb2.DESCRIPTOR.serialized_pb)

    health.ClearField("source_code_info")
    for file in (health, standard):
        file.ClearField("name")
        file.message_type.sort(key=lambda message: message.name)

    assert re.sub(r' *json_name: ".*"\n', "", str(health)) == str(standard)


def test_every_file_names_where_its_code_belongs_in_languages_that_ask(full: Path) -> None:
    for file in described(full).file:
        if file.package == "sendoff.v1":
            assert file.options.go_package.endswith(";sendoffv1"), file.name
            assert file.options.java_package == "dev.sendoff.v1", file.name
            assert file.options.java_multiple_files, file.name
            assert file.options.csharp_namespace == "Sendoff.V1", file.name
            assert file.options.objc_class_prefix == "SDF", file.name


def test_the_page_for_callers_tells_of_every_file_beside_the_protos(full: Path) -> None:
    page = full.joinpath("README.md").read_text()

    for path in full.iterdir():
        if path.is_file() and path.name != "README.md":
            assert f"`{path.name}`" in page, path.name
