#!/usr/bin/python3 -I
"""The installed command: the package's own libraries come first, and nothing of the caller's environment."""

import sys

TREE = "/usr/lib/sls-siem-agent"
sys.path[:0] = [f"{TREE}/vendor", f"{TREE}/app"]
sys.dont_write_bytecode = True

from sls_siem.cli import main  # noqa: E402 - the path above leads to it

sys.exit(main())
