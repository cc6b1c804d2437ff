"""The one part of the vendor's SDK that is used, without the rest of it.

`import aliyun.log` runs the whole SDK: its client, requests, protobuf, a consumer. Nothing of that is used here, and it
would cost each instance two fifths of its start and 14 MB of memory. So the package's `__init__` is passed over while
`aliyun.log.auth` is imported, and nothing of it is left behind: whoever imports `aliyun.log` afterwards gets all of it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType

_PACKAGE = "aliyun.log"


def _import_auth() -> ModuleType:
    """Import `aliyun.log.auth`, by itself where that can be done.

    Raises:
        ImportError: the SDK is not installed.
    """
    if _PACKAGE in sys.modules:
        return import_module(f"{_PACKAGE}.auth")
    spec = PathFinder.find_spec(_PACKAGE, import_module("aliyun").__path__)
    if spec is None or spec.submodule_search_locations is None:
        return import_module(f"{_PACKAGE}.auth")
    empty = ModuleType(_PACKAGE)
    empty.__path__ = list(spec.submodule_search_locations)
    sys.modules[_PACKAGE] = empty
    try:
        return import_module(f"{_PACKAGE}.auth")
    finally:
        for name in [name for name in sys.modules if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")]:
            del sys.modules[name]


_auth = _import_auth()
AUTH_VERSION_1: str = _auth.AUTH_VERSION_1
AUTH_VERSION_4: str = _auth.AUTH_VERSION_4
make_auth = _auth.make_auth
