"""Writes `docs/reference/*.md` and the man page sls-siem.toml(5) from what the code says.

`python -m tests.reference_pages` from the checkout's root writes them; a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from sls_siem.config import reference
from sls_siem.config.about import TABLES_ABOUT
from sls_siem.metrics import Metrics, Total
from sls_siem.service.reload import applied_by_reload
from tests import reference_man

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
_MADE = "<!-- written by python -m tests.reference_pages: do not edit -->\n"

_CONFIGURATION = """# Every key

`/etc/sls-siem/agent.toml`, overridden key by key by `instances/<N>.toml` beside it and then by the environment.
Durations are in seconds, sizes in bytes. A template may hold fields of the log: `{__topic__}`, `{__source__}`,
`{__tag__:name}`, `{name}`; `{{` and `}}` are braces. `sls-siem check` names everything that is
wrong with a configuration.

*Reload* says whether `systemctl reload` applies a change of the key; the others need a restart, and the reload says so.
The same as a file to start from: [agent.toml](../examples/agent.toml).
"""

_METRICS = """# Every metric

Prometheus text at `http://<metrics.listen>:<metrics.port + N>/metrics`, for instance N, with `/healthz` and `/readyz`
beside it; off without `metrics.port`. Alert rules and a dashboard: [Monitoring](../monitoring/index.md).
"""


def pages() -> dict[Path, str]:
    """Every page with its text."""
    return {
        FOLDER / "configuration.md": "\n".join([_CONFIGURATION.replace("\n", f"\n\n{_MADE}", 1), *_configuration()]),
        FOLDER / "metrics.md": "\n".join([_METRICS.replace("\n", f"\n\n{_MADE}", 1), *_metrics()]),
        reference_man.PATH: reference_man.page(),
    }


def _configuration() -> Iterator[str]:
    found = reference.all_keys()
    for table, about in TABLES_ABOUT.items():
        yield f"## `[{table}]`\n\n{about}\n"
        yield "| key | for | takes | default | reload |\n|---|---|---|---|---|"
        for key in found:
            if key.table == table:
                about_it = key.about + (f" `{key.variable}` in the environment." if key.variable else "")
                reload = "yes" if applied_by_reload(key.dotted) else "no"
                yield _row(f"`{key.name}`", about_it, key.takes, key.default or "*must be given*", reload)
        yield ""
    yield "## Secrets\n"
    yield "Files of these names in `/etc/sls-siem/credentials`; some may come from the environment instead."
    yield "A file that a `*_file` key names is the only one looked at for its secret; the user `sls-siem` reads it, who"
    yield "cannot enter that folder: put it beside `agent.toml`, with group `sls-siem` and mode 0640.\n"
    yield "| secret | for | variable |\n|---|---|---|"
    for secret in reference.secrets():
        yield _row(f"`{secret.name}`", secret.about, f"`{secret.variable}`" if secret.variable else "")
    yield ""


def _metrics() -> Iterator[str]:
    yield "| metric | type | labels | meaning |\n|---|---|---|---|"
    metrics = Metrics()
    for name, value in vars(metrics).items():
        if isinstance(value, (MetricWrapperBase, Total)):
            (family,) = value.collect()
            suffix = "_total" if family.type == "counter" else ""
            labels = ", ".join(f"`{label}`" for label in getattr(value, "_labelnames", ()))
            assert family.name.startswith("sls_siem_"), name
            yield _row(f"`{family.name}{suffix}`", family.type, labels, family.documentation)
    yield ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(re.sub(r"([|<>])", r"\\\1", cell) for cell in cells) + " |"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
