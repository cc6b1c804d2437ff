"""Tell how many of the branches and lines of the package were taken, and fail below the floor.

    python tests/branch_coverage.py

Reads `.coverage`. What `coverage report` calls coverage counts lines and branches together; the bar is on each. The bar
is 95 %. It is not reached everywhere yet, so what fails is the floor, below which no change may fall; raise it to the
bar as soon as a whole run shows that.
"""

from __future__ import annotations

import json
import subprocess
import sys

BAR_PERCENT = 95.0
FLOOR_PERCENT = 88.0


def main() -> int:
    """Compare; return an exit status."""
    report = subprocess.run(
        [sys.executable, "-m", "coverage", "json", "-q", "-o", "-"], capture_output=True, text=True, check=True
    ).stdout
    totals = json.loads(report)["totals"]
    branches = 100.0 * totals["covered_branches"] / max(totals["num_branches"], 1)
    lines = 100.0 * totals["covered_lines"] / max(totals["num_statements"], 1)
    least = min(branches, lines)
    print(f"coverage of agent/sls_siem: {branches:.1f} % of branches, {lines:.1f} % of lines; bar {BAR_PERCENT:g} %")
    if least < BAR_PERCENT:
        print(f"the bar is missed by {BAR_PERCENT - least:.1f} points; below {FLOOR_PERCENT:g} % it fails")
    return 0 if least >= FLOOR_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
