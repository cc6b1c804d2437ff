"""The package's life on Debian 13."""

from tests.system.life import *  # noqa: F403 - the tests

RELEASE = "trixie"
