"""`python -m tests.pictures.status`: ten agents between the emulators, seen by `status --watch` in 80 x 24.

Writes `docs/evidence/status-watch.svg`. Needs tmux. What is seen is a capture of the terminal, nothing is drawn in.
"""

from __future__ import annotations

import random
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import SlsEmulator
from tests.e2e.harness import KEY_ID, KEY_SECRET, AgentProcess, hec_tables, until
from tests.pictures.svg import picture

TARGET = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "status-watch.svg"
COLUMNS, LINES = 80, 24
INSTANCES, SHARDS = 10, 16
SECONDS = 75.0
WATCH = """
from pathlib import Path
from sls_siem.cli import status
from sls_siem.cli.main import main
status.RUN_TIME = Path({folder!r})
main(["status", "--watch"])
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name, SlsEmulator(project="p", logstore="ls", shards=SHARDS) as sls:
        folder = Path(name)
        sls.add_key(KEY_ID, KEY_SECRET)
        with HecEmulator() as hec:
            (folder / "token").write_text(hec.token)
            tables = hec_tables(sls, [hec.url, "http://127.0.0.1:9"], folder / "token")
            agents = [
                AgentProcess(
                    folder, tables, instance=number, environ={"RUNTIME_DIRECTORY": str(folder / "run" / str(number))}
                )
                for number in range(1, INSTANCES + 1)
            ]
            try:
                for agent in agents:
                    agent.start()
                until(lambda: all((folder / "run" / str(n) / "status.json").exists() for n in range(1, 11)), 60)
                TARGET.write_text(picture(_seen(folder / "run", sls), COLUMNS), encoding="utf-8")
            finally:
                for agent in agents:
                    agent.kill()


def _seen(run_time: Path, sls: SlsEmulator) -> str:
    """Feed logs at changing rates while tmux shows the table; returns the last screen."""
    tmux = ["tmux", "-L", f"sls-siem-{run_time.parent.name}", "-u"]
    command = shlex.join([sys.executable, "-c", WATCH.format(folder=str(run_time))])
    size = ["-x", str(COLUMNS), "-y", str(LINES)]
    subprocess.run([*tmux, "-f", "/dev/null", "new-session", "-d", *size, command], check=True, timeout=30)
    try:
        chance = random.Random(7)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for shard in range(SHARDS):
                logs = [{"seq": str(n), "message": "x" * 400} for n in range(chance.randrange(20, 60 + 12 * shard))]
                sls.store.append(shard, [make_group(logs, time=int(time.time()))])
            time.sleep(chance.uniform(0.2, 0.9))
        shown = subprocess.run(
            [*tmux, "capture-pane", "-e", "-p"], check=True, capture_output=True, text=True, timeout=30
        )
        return shown.stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, timeout=30)


if __name__ == "__main__":
    main()
