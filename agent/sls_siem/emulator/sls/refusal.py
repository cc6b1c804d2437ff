"""The one way a handler says no: an error as SLS words it. Codes and statuses: sls API reference, error codes."""

from __future__ import annotations

import json


class RefusalError(Exception):
    """An error answer.

    Args:
        status: HTTP status.
        code: the `errorCode`.
        message: the `errorMessage`.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def body(self) -> bytes:
        return json.dumps({"errorCode": self.code, "errorMessage": self.message}).encode()


def parameter_invalid(message: str) -> RefusalError:
    return RefusalError(400, "ParameterInvalid", message)


def shard_missing(shard: int, status: int = 404) -> RefusalError:
    return RefusalError(status, "ShardNotExist", f"shard {shard} does not exist")
