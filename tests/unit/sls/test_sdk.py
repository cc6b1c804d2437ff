"""The SDK's signing without the rest of the SDK."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("aliyun.log", "aliyun.log.logclient", "requests", "google.protobuf", "urllib3")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_the_agent_starts_without_the_rest_of_the_sdk() -> None:
    code = f"import sys, sls_siem.service.run; print([name for name in {HEAVY} if name in sys.modules])"

    assert "[]" == python(code)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("order", ["import aliyun.log; from sls_siem.sls import sdk", "from sls_siem.sls import sdk"])
def test_the_whole_sdk_can_still_be_imported_in_the_same_process(order: str) -> None:
    code = f"{order}; import aliyun.log.auth; print(aliyun.log.LogClient.__name__, aliyun.log.auth.AUTH_VERSION_4)"

    assert "LogClient v4" == python(code)


def test_it_is_the_sdk_that_signs() -> None:
    from sls_siem.sls import sdk

    assert "aliyun.log.auth" == sdk.make_auth.__module__
