"""Runs the SDK's consumer as the process that is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sls_siem.cli.bench_measure import Stage
from sls_siem.cli.demo_rig import LOGSTORE, PROJECT, RigError, starting_children
from sls_siem.cli.demo_usage import Usage, usage_of


class SdkConsumer:
    """One `sdk_consumer.py`.

    Args:
        stage: what it reads and where it posts.
        mode: one or batched.
        number: of the run; gives it a consumer group of its own.
    """

    def __init__(self, stage: Stage, mode: str, number: int) -> None:
        self._log_path = stage.folder / f"{mode}-{number}.txt"
        sls, address = stage.sls, stage.receiver.addresses
        script = Path(__file__).with_name("sdk_consumer.py")
        command = [sys.executable, str(script), mode, sls.url, PROJECT, LOGSTORE, f"{mode}-{number}", address["url"]]
        with starting_children(), self._log_path.open("ab") as log:
            secrets = {"SLS_AK_ID": sls.key_id, "SLS_AK_KEY": sls.key_secret, "HEC_TOKEN": address["token"]}
            self._process = subprocess.Popen(
                command, env=os.environ | secrets, cwd=stage.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._last = Usage()

    def __enter__(self) -> SdkConsumer:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.kill()
        self._process.wait()

    def check(self) -> None:
        status = self._process.poll()
        if status is not None:
            words = self._log_path.read_text(errors="replace")[-2000:]
            raise RigError(f"the SDK's consumer ended with status {status}:\n{words}")

    def usage(self) -> Usage:
        self._last = usage_of(self._process.pid) or self._last
        return self._last
