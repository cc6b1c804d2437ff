"""The versions of Ansible that playbooks are run with: the one beside this Python, and the oldest that is supported."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.ansible.test_role import HERE, lacking, read, tool

OLDEST = re.sub(r"^>=", "", read(HERE / "meta" / "runtime.yml")["requires_ansible"])


def _python_for_the_oldest() -> str:
    """Find a Python that the oldest ansible-core knows: 3.10 to 3.12."""
    if (3, 10) <= sys.version_info < (3, 13):
        return sys.executable
    for name in ("python3.12", "python3.11", "python3.10"):
        # A command of that name may be one of pyenv's, without a Python behind it.
        if shutil.which(name) and not subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode:
            return name
    return lacking("no Python 3.10 to 3.12 is here, which the oldest ansible-core needs")


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The ansible-playbook of the oldest ansible-core that is said to do."""
    tool("ansible-playbook")
    folder = tmp_path_factory.mktemp("oldest")
    subprocess.run([_python_for_the_oldest(), "-m", "venv", folder], check=True, timeout=100)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", f"ansible-core=={OLDEST}"]
    done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode:
        lacking(f"ansible-core {OLDEST} cannot be installed: {done.stderr[-1000:]}")
    return str(folder / "bin" / "ansible-playbook")


@pytest.fixture(params=["oldest", "newest"])
def command(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("oldest") if request.param == "oldest" else tool("ansible-playbook")
