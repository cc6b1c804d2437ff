"""Agents that end with the test, as in the end-to-end tests."""

from __future__ import annotations

from tests.e2e.conftest import agents

__all__ = ["agents"]
