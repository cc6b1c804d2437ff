"""Fail when less than the bar of the package's branches, or of its lines, were taken.

    python tests/branch_coverage.py

Reads `.coverage`. What `coverage report` calls coverage counts lines and branches together; the bar is on each.
"""

from __future__ import annotations

import json
import subprocess
import sys

BAR_PERCENT = 95.0


def main() -> int:
    """Compare; return an exit status."""
    report = subprocess.run(
        [sys.executable, "-m", "coverage", "json", "-q", "-o", "-"], capture_output=True, text=True, check=True
    ).stdout
    totals = json.loads(report)["totals"]
    branches = 100.0 * totals["covered_branches"] / max(totals["num_branches"], 1)
    lines = 100.0 * totals["covered_lines"] / max(totals["num_statements"], 1)
    print(f"coverage of agent/sls_siem: {branches:.1f} % of branches, {lines:.1f} % of lines; bar {BAR_PERCENT:g} %")
    return 0 if min(branches, lines) >= BAR_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
