"""The package's life on Debian 12."""

from tests.system.life import *  # noqa: F403 - the tests

RELEASE = "bookworm"
