"""The life of one process: built from a configuration, started, watched, drained."""

from sls_siem.service.run import run

__all__ = ["run"]
