"""The package's life on Debian 11."""

from tests.system.life import *  # noqa: F403 - the tests

RELEASE = "bullseye"
