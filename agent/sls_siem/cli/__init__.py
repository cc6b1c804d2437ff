"""The command line: arguments in, exit status out; each command is a module of its own."""

from sls_siem.cli.main import main

__all__ = ["main"]
