"""debian/tests, run by autopkgtest itself on a throw-away host that has booted."""

from __future__ import annotations

import shutil

from tests.system.conftest import TOOLBOX, Packages
from tests.system.nspawn import ROOT, Host


def test_autopkgtest_passes(packages: Packages) -> None:
    (deb,) = (path for path in packages.new.glob("pool/main/*.deb") if "0.0.9" not in path.name)
    with Host("bookworm", extra=TOOLBOX) as host:
        source = host.root / "srv" / "source"
        shutil.copytree(ROOT / "packaging" / "debian", source / "debian")
        shutil.copyfile(deb, host.root / "srv" / deb.name)
        # Everything it depends on is in the root; there is no mirror.
        host.sh("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        # `null` runs the tests where it is itself, so it does not promise a machine of its own; this host is one.
        said = host.run(
            "autopkgtest",
            "--ignore-restrictions=isolation-machine",
            "--no-built-binaries",
            f"/srv/{deb.name}",
            "/srv/source",
            "--",
            "null",
            timeout=300,
        )

    print(said)
    assert "installed            PASS" in said
