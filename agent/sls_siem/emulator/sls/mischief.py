"""Carries out the faults that struck a call: before it is executed, or on its answer."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
from typing import Optional

from sls_siem.emulator.sls.faults import Fault
from sls_siem.emulator.sls.http1 import Answer, Ending

_ENDINGS = {
    "lost_answer": Ending.RESET,
    "reset_mid_body": Ending.RESET_MID_BODY,
    "truncate": Ending.TRUNCATE,
}
_FLIPPED = 16


def before(fault: Fault, stopping: threading.Event) -> Optional[Answer]:
    """Do what the fault does in place of the call; None lets the call go on."""
    if fault.action == "delay":
        stopping.wait(fault.seconds)
    elif fault.action == "reset":
        return Answer(ending=Ending.RESET)
    elif fault.action == "black_hole":
        return Answer(ending=Ending.SILENCE)
    elif fault.action == "status":
        return _refuse(fault)
    return None


def _refuse(fault: Fault) -> Answer:
    headers = {fault.header: fault.value} if fault.header else {}
    if fault.body is not None:
        return Answer(fault.status, {"Content-Type": "text/html", **headers}, fault.body.encode())
    text = json.dumps({"errorCode": fault.code, "errorMessage": fault.message})
    return Answer(fault.status, {"Content-Type": "application/json", **headers}, text.encode())


def after(fault: Fault, answer: Answer) -> Answer:
    """Change an answer as the fault says; faults that act before leave it as it is."""
    if fault.action in _ENDINGS:
        return dataclasses.replace(answer, ending=_ENDINGS[fault.action])
    if fault.action == "shorten":
        return dataclasses.replace(answer, body=answer.body[: len(answer.body) // 2])
    if fault.action == "corrupt":
        return dataclasses.replace(answer, body=_flip(answer.body, fault.random))
    if fault.action == "garble":
        # To lz4 a literal whose length never ends; to zlib, gzip and zstd no header.
        return dataclasses.replace(answer, body=b"\xff" * len(answer.body))
    if fault.action in ("rawsize", "count"):
        name = "x-log-bodyrawsize" if fault.action == "rawsize" else "x-log-count"
        return _with_header(answer, name, str(int(answer.headers.get(name, "0")) + fault.amount))
    if fault.action == "set_header":
        return _with_header(answer, fault.header, fault.value)
    if fault.action == "drop_header":
        kept = {name: value for name, value in answer.headers.items() if name.lower() != fault.header.lower()}
        return dataclasses.replace(answer, headers=kept)
    return answer


def _with_header(answer: Answer, name: str, value: str) -> Answer:
    others = {known: text for known, text in answer.headers.items() if known.lower() != name.lower()}
    return dataclasses.replace(answer, headers={**others, name: value})


def _flip(body: bytes, rng: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(min(_FLIPPED, len(changed))):
        changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
    return bytes(changed)
