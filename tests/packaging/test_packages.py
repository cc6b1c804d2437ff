"""The packages themselves: the same bytes twice, clean by their linters, small, importable by every Python."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 1 << 20

# The first build with a changed codec compiles it.
BUILD_S = 1500

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * BUILD_S)]


def needs(*tools: str) -> None:
    """Skip without the tools on a developer's machine; fail in CI."""
    lacking = ", ".join(tool for tool in tools if shutil.which(tool) is None)
    if lacking:
        message = f"building packages needs {lacking}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


with_cargo = pytest.mark.skipif(shutil.which("cargo") is None, reason="without cargo there is no compiled codec")


def import_from_packaging(name: str) -> ModuleType:
    sys.path.insert(0, str(ROOT / "packaging"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "packaging"))


def run(*command: object, expected: int = 0) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_S,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == expected, f"{command[0]}: {done.returncode}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """Build a format twice, once; returns both files."""
    made: dict[str, list[Path]] = {}
    commit = run("git", "-c", "safe.directory=*", "rev-parse", "HEAD").strip()

    def build(kind: str) -> list[Path]:
        if kind not in made:
            folders = [tmp_path_factory.mktemp(f"{kind}-{number}") for number in (1, 2)]
            for folder in folders:
                run(sys.executable, f"packaging/build_{kind}.py", "--out", folder, "--commit", commit)
            made[kind] = [next(folder.glob(f"*.{kind}")) for folder in folders]
        return made[kind]

    return build


@pytest.fixture(scope="module")
def unpacked(builds, tmp_path_factory) -> Path:
    needs("dpkg-buildpackage", "dh")
    folder = tmp_path_factory.mktemp("unpacked")
    run("dpkg-deb", "--extract", builds("deb")[0], folder)
    return folder


@pytest.mark.parametrize(("kind", "tools"), [("deb", ("dpkg-buildpackage", "dh")), ("rpm", ("rpmbuild",))])
def test_two_builds_give_the_same_bytes(builds, kind, tools) -> None:
    needs(*tools)
    one, other = (hashlib.sha256(path.read_bytes()).hexdigest() for path in builds(kind))

    assert one == other


def test_lintian_finds_nothing(builds) -> None:
    needs("dpkg-buildpackage", "dh", "lintian")
    found = run("lintian", "--allow-root", "--fail-on=error,warning", "--tag-display-limit=0", builds("deb")[0])

    assert "" == found


def test_rpmlint_finds_nothing(builds) -> None:
    needs("rpmbuild", "rpmlint")
    found = run("rpmlint", "-c", "packaging/rpm/rpmlint.toml", builds("rpm")[0])

    assert "0 errors, 0 warnings" in found, found


def test_the_scriptlets_of_the_rpm_can_rely_on_systemd(builds) -> None:
    needs("rpmbuild", "rpm")
    query = "[%{REQUIRENAME} %{REQUIREFLAGS:deptype}\n]"
    required = run("rpm", "--query", "--queryformat", query, "--package", builds("rpm")[0]).splitlines()

    for scriptlet in ("post", "preun", "postun"):
        assert any(line.startswith("systemd ") and scriptlet in line.split(" ", 1)[1].split(",") for line in required)


def test_it_is_small(builds, unpacked) -> None:
    size = sum(path.stat().st_size for path in unpacked.rglob("*") if path.is_file() and not path.is_symlink())

    assert builds("deb")[0].stat().st_size <= 5 * MEBIBYTE
    assert size <= 20 * MEBIBYTE


def test_nothing_live_is_shipped_below_etc(unpacked) -> None:
    assert not (unpacked / "etc").exists()
    assert (unpacked / "usr/share/doc/sls-siem-agent/examples/agent.toml").exists()


def test_what_an_operator_reads_is_shipped_as_it_is(unpacked) -> None:
    shipped = unpacked / "usr/share/doc/sls-siem-agent"
    committed = run("git", "-c", "safe.directory=*", "ls-tree", "-r", "--name-only", "HEAD:docs").splitlines()
    expected = {page for page in committed if not page.startswith(("evidence/", "man/"))}

    assert {"troubleshooting.md", "siem/index.md", "monitoring/alerts.yml", "monitoring/dashboard.json"} <= expected
    # Not compressed, too.
    assert expected == {page for page in expected if (shipped / page).is_file()}
    assert not (shipped / "evidence").exists()


def test_every_place_that_example_and_man_pages_name_in_the_documentation_exists(unpacked) -> None:
    texts = [(ROOT / "docs/examples/agent.toml").read_text()]
    texts += [page.read_text().replace("\\-", "-") for page in (ROOT / "docs/man").iterdir()]
    named = {place for text in texts for place in re.findall(r"/usr/share/doc/sls-siem-agent/[\w./-]*\w/?", text)}

    assert "/usr/share/doc/sls-siem-agent/siem/" in named
    assert [] == [place for place in named if not (unpacked / place.lstrip("/")).exists()]


@pytest.fixture(scope="module")
def bill(unpacked) -> list[dict[str, str]]:
    return json.loads((unpacked / "usr/share/doc/sls-siem-agent/sbom.cdx.json").read_text())["components"]


def test_every_library_has_its_licence_and_stands_in_the_bill_of_materials(unpacked, bill) -> None:
    vendor = unpacked / "usr/lib/sls-siem-agent/vendor"
    named = {re.sub(r"[-_.]+", "_", part["name"]) for part in bill if part.get("purl", "").startswith("pkg:pypi/")}
    infos = {info.name.split("-")[0].lower(): info for info in vendor.glob("*.dist-info")}

    assert named == set(infos)
    for info in infos.values():
        names = {path.name.upper() for path in info.iterdir() if path.is_file()}
        names |= {path.name.upper() for path in (info / "licenses").glob("*")}
        assert any(name.startswith(("LICEN", "COPYING")) for name in names), info.name


def test_every_licence_is_an_spdx_expression_and_stands_in_the_copyright_and_the_rpm(builds, unpacked, bill) -> None:
    needs("rpmbuild", "rpm")
    words = {word for part in bill for word in re.findall(r"[\w.-]+", part["licenses"][0]["expression"])}
    copyright_text = (unpacked / "usr/share/doc/sls-siem-agent/copyright").read_text()
    tag = run("rpm", "--query", "--queryformat", "%{LICENSE}", "--package", builds("rpm")[0])

    assert {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MPL-2.0", "PSF-2.0", "Zlib", "AND", "OR"} >= words
    assert "Apache-2.0 AND BSD-2-Clause AND BSD-3-Clause AND MIT AND MPL-2.0 AND PSF-2.0" == tag
    assert "isal" in re.findall(r"(?m)^ PSF-2.0 AND BSD-3-Clause: (.*)\.$", copyright_text)
    assert all(part["name"] in copyright_text for part in bill)


@pytest.mark.parametrize(("library", "notice"), [("lz4", "lz4-library"), ("protobuf", "utf8_range"), ("isal", "isa-l")])
def test_what_is_compiled_into_a_wheel_has_its_notice(unpacked, library, notice) -> None:
    (info,) = (unpacked / "usr/lib/sls-siem-agent/vendor").glob(f"{library}-*.dist-info")

    assert "Copyright" in (info / "licenses" / notice / "LICENSE").read_text()


@with_cargo
def test_the_compiled_codec_is_in_it_with_the_licence_of_every_crate(unpacked, bill) -> None:
    vendor = unpacked / "usr/lib/sls-siem-agent/vendor"
    (library,) = vendor.glob("sls_siem_codec/*.abi3.so")
    crates = {part["name"]: part for part in bill if part.get("purl", "").startswith("pkg:cargo/")}
    (licences,) = vendor.glob("sls_siem_codec-*.dist-info/licenses")
    texts = {
        folder.name for folder in licences.iterdir() if any(path.stat().st_size > 200 for path in folder.rglob("*"))
    }

    # Debian 11 has glibc 2.31, and /root of the build machine is nobody's business.
    symbols = run("objdump", "-T", library)
    assert max(tuple(map(int, text.split("."))) for text in re.findall(r"GLIBC_([\d.]+)", symbols)) <= (2, 31)
    assert b"/.cargo/registry/" not in library.read_bytes()
    assert str(Path.home()).encode() + b"/" not in library.read_bytes()
    assert {"pyo3", "sha2"} <= set(crates)
    assert texts == {f"{crate['name']}-{crate['version']}" for crate in crates.values()}
    assert all(part["licenses"][0]["expression"] for part in crates.values())
    assert any(part["name"] == "std" for part in bill)


@with_cargo
def test_the_compiled_codec_comes_out_the_same_from_another_folder(builds, tmp_path) -> None:
    needs("dpkg-buildpackage", "dh")
    builds("deb")
    codec, arch = import_from_packaging("codec"), import_from_packaging("stage").machine_architecture()
    source = tmp_path / "another" / "place"
    archive = subprocess.run(
        ["git", "-c", "safe.directory=*", "archive", "HEAD", "agent/native"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    source.mkdir(parents=True)
    subprocess.run(["tar", "-xC", source], input=archive, check=True, timeout=60)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    epoch = int(run("git", "-c", "safe.directory=*", "log", "-1", "--format=%ct"))
    codec.build(source, fresh, arch=arch, epoch=epoch)
    kept = codec.built(source, arch, epoch)

    libraries = [
        hashlib.sha256(zipfile.ZipFile(next(folder.glob("*.whl"))).read("sls_siem_codec/sls_siem_codec.abi3.so"))
        for folder in (fresh, kept)
    ]
    assert libraries[0].hexdigest() == libraries[1].hexdigest()


def pythons() -> list[str]:
    found = {
        str(path) for minor in range(9, 15) for path in Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")
    }
    return ["/usr/bin/python3", *sorted(found)]


@pytest.mark.parametrize("python", pythons())
def test_every_module_finds_its_libraries_in_the_tree(unpacked, python) -> None:
    tree = unpacked / "usr/lib/sls-siem-agent"
    script = f"""
import importlib, pkgutil, sys
sys.path[:0] = [{str(tree / "vendor")!r}, {str(tree / "app")!r}]
sys.dont_write_bytecode = True
import sls_siem
for module in pkgutil.walk_packages(sls_siem.__path__, "sls_siem."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
    # Without `site`, so that nothing but the tree and the standard library can be found.
    assert "" == run(python, "-I", "-S", "-W", "ignore", "-c", script)


def test_the_completion_knows_every_command_and_option() -> None:
    import argparse

    from sls_siem.cli.main import make_parser

    words = set(re.findall(r"[\w-]+", (ROOT / "packaging/bash-completion/sls-siem").read_text()))
    page = (ROOT / "docs/man/sls-siem.1").read_text().replace("\\-", "-")
    parser = make_parser()
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        assert name in words
        assert name in page
        for option in (text for action in command._actions for text in action.option_strings if text.startswith("--")):
            assert option in words, f"{name} {option}"
            assert option == "--help" or option in page, f"{name} {option}"


def test_the_allow_list_mentions_where_a_ram_role_gets_its_keys() -> None:
    from sls_siem.sls.ecs_metadata import METADATA_URL

    text = (ROOT / "systemd/allow-list.conf").read_text()

    assert f"#IPAddressAllow={METADATA_URL.partition('://')[2]}/32" in text


def test_the_units_are_clean_and_closed() -> None:
    needs("systemd-analyze")
    answer = run("systemd-analyze", "security", "--offline=yes", ROOT / "systemd/sls-siem@.service")
    exposure = re.search(r"exposure level.*: ([\d.]+)", answer)

    assert exposure is not None
    assert float(exposure[1]) <= 1.1
