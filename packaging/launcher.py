#!/usr/bin/python3 -I
"""The installed command: the package's own libraries come first, and nothing of the caller's environment."""

import os
import sys

TREE = "/usr/lib/sls-siem-agent"
PATHS = [f"{TREE}/vendor", f"{TREE}/app"]
sys.path[:0] = PATHS
sys.dont_write_bytecode = True
# For the processes that `demo` and `bench` start with this interpreter.
os.environ.update(PYTHONPATH=":".join(PATHS), PYTHONSAFEPATH="1", PYTHONDONTWRITEBYTECODE="1")

from sls_siem.cli import main  # noqa: E402 - the path above leads to it

sys.exit(main())
