"""The man page sls-siem.toml(5), made of what the code says of each key; `tests.reference_pages` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sls_siem.config import reference
from sls_siem.config.about import TABLES_ABOUT
from sls_siem.service.reload import applied_by_reload

PATH = Path(__file__).resolve().parents[1] / "docs" / "man" / "sls-siem.toml.5"

_HEAD = r""".\" written by python -m tests.reference_pages: do not edit
.TH SLS\-SIEM.TOML 5 "" "sls\-siem\-agent" "File Formats"
.SH NAME
sls\-siem.toml \- configuration of the agent from Alibaba Cloud SLS to a SIEM
.SH DESCRIPTION
\fI/etc/sls\-siem/agent.toml\fR is overridden, key by key, by \fI/etc/sls\-siem/instances/N.toml\fR and then by the
environment, which the unit reads from \fI/etc/default/sls\-siem\-agent\fR.
Durations are in seconds, sizes in bytes.
A template may hold fields of the log: {__topic__}, {__source__}, {__tag__:name}, {name}; {{ and }} are braces.
.PP
Unknown keys and wrong values are errors;
.B sls\-siem check
names all of them in one run.
.PP
A change is applied by a restart, and where it says so below also by a reload:
.PP
.RS
systemctl reload 'sls\-siem@*'
.RE
.SH EXAMPLE
The smallest that works:
.PP
.RS
.nf
[sls]
endpoint = "https://cn\-hangzhou.log.aliyuncs.com"
project = "my\-sls\-project\-one"
logstore = "my\-sls\-logstore\-a1"
consumer_group = "sync_data"

[siem]
output = "hec"

[hec]
urls = ["https://splunk\-1.example.com:8088"]
.fi
.RE
.PP
One with every key is \fI/usr/share/doc/sls\-siem\-agent/examples/agent.toml\fR;
\fI/usr/share/doc/sls\-siem\-agent/siem/\fR has a page for each SIEM."""

_TAIL = r""".SH FILES
.TP
.I /etc/sls\-siem/agent.toml
The configuration; owner root, group sls\-siem, mode 0640.
.TP
.I /etc/sls\-siem/instances/N.toml
What differs for one instance.
.TP
.I /etc/default/sls\-siem\-agent
The environment of all instances.
.TP
.I /etc/sls\-siem/credentials/
The secrets; owner root, mode 0600.
.SH "SEE ALSO"
.BR sls\-siem (1),
.BR sls\-siem@.service (8)
"""


_NAMED_FILES = r""".PP
A file that a key such as
.B token_file
names is the only one looked at for its secret; when it cannot be read, the secret is missing.
The agent reads it as the user sls\-siem, who cannot enter \fI/etc/sls\-siem/credentials\fR: put it beside
\fIagent.toml\fR, for example as \fI/etc/sls\-siem/second\-hec\-token\fR, owner root, group sls\-siem, mode 0640."""


def page() -> str:
    """Every table, key and secret, as roff."""
    return "\n".join([_HEAD, *_tables(), *_secrets(), _TAIL])


def _tables() -> Iterator[str]:
    keys = reference.all_keys()
    for table, about in TABLES_ABOUT.items():
        yield f'.SH "[{_text(table)}]"'
        yield _text(about)
        for key in keys:
            if key.table == table:
                yield f".TP\n.B {_text(key.name)}"
                yield _text(key.about)
                yield f".br\nTakes {_text(key.takes)}."
                yield f"Default: {_text(key.default)}." if key.default else "Must be given."
                if key.variable:
                    yield f"Overridden by \\fB{_text(key.variable)}\\fR in the environment."
                if applied_by_reload(key.dotted):
                    yield "Applied by a reload."


def _secrets() -> Iterator[str]:
    yield ".SH SECRETS"
    yield r"No secret stands in the file. Each is a file in \fI/etc/sls\-siem/credentials\fR, which only root reads:"
    for secret in reference.secrets():
        yield f".TP\n.I {_text(secret.name)}"
        yield _text(secret.about)
        if secret.variable:
            yield f"Or \\fB{_text(secret.variable)}\\fR in the environment."
    yield _NAMED_FILES


def _text(text: str) -> str:
    """Escape for roff, and turn what is code in Markdown bold."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("…", "...")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text)
    return f"\\&{text}" if text.startswith((".", "'")) else text
