"""What each exit status means, and how a command speaks to a person."""

from __future__ import annotations

import sys

from sls_siem.cli.terminal import printable

EXIT_DONE = 0
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69
EXIT_BUG = 70
EXIT_CONFIG = 78


def tell(text: str) -> None:
    """Say something to a person; nothing in it, which may be a peer's words, can act on the terminal."""
    print("\n".join(printable(line) for line in text.split("\n")), file=sys.stderr)


def confirmed(question: str) -> bool:
    """Ask at the terminal; whatever is no yes is a no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
