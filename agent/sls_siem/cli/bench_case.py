"""What is measured: one kind of log, shape of log groups and way out to the SIEM; names and values, no process.

A case says everything that a figure depends on, so that figures of two versions, or of two ways to do the same, are
comparable. `tests/bench` combines these into more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sls_siem.emulator.generate import LogSource

LOGS_PER_GROUP = {"nginx": 100, "actiontrail": 40, "waf": 15}
"""Logs in a log group, by profile, where a case does not say: groups of about 55 kB, as the vendor's agents send."""

ROUND_BYTES = 10_000_000
"""Raw bytes a shard holds before it repeats itself: one answer of PullLogs, prepared once."""
_TIME = 1_700_000_000


@dataclass(frozen=True)
class Case:
    """One way of the logs.

    Args:
        name: for the table and the JSON.
        output: hec or syslog.
        gzip: HEC bodies are compressed.
        tls: towards the SIEM.
        acknowledge: HEC with indexer acknowledgement.
        relp: syslog by RELP.
        profile: kind of log, see `emulator.generate`.
        shards: all read by one process.
        logs_per_group: in every log group.
        codec: `reference` or `compiled`; empty for what the environment says.
        receiver: settings of the receiver that differ.
        tables: of the agent's configuration that differ.
    """

    name: str
    output: str
    gzip: bool = False
    tls: bool = False
    acknowledge: bool = False
    relp: bool = False
    profile: str = "nginx"
    shards: int = 4
    logs_per_group: int = 100
    codec: str = ""
    receiver: Mapping[str, object] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def logs_per_shard(self) -> int:
        """Logs in a shard before it repeats itself: whole log groups of about `ROUND_BYTES`."""
        groups = max(1, int(ROUND_BYTES / (self.raw_bytes_per_log * self.logs_per_group)))
        return groups * self.logs_per_group

    @property
    def raw_bytes_per_log(self) -> float:
        """Mean size of a log as it is pulled, decompressed; its share of the log group's own bytes included."""
        size = len(LogSource(self.profile).group(0, self.logs_per_group, _TIME))
        return size / self.logs_per_group

    @property
    def emulator(self) -> str:
        """Which one receives."""
        return "relp" if self.relp else self.output

    def receiver_settings(self) -> dict[str, object]:
        """Settings of an emulator that counts events and, where its protocol lets it, stores nothing."""
        if self.output == "hec":
            # It stands in every envelope once, whoever made it: what is compared with may know no event ids.
            needle = {"sink_inflate": self.gzip, "sink_needle": '"sourcetype"'}
            tokens = {"tokens": [{"use_ack": True}]} if self.acknowledge else {}
            return {"mode": "sink", **needle, **tokens, **self.receiver}
        if self.relp:
            return dict(self.receiver)
        # The event id's place in the header; an LF would not do where octets are counted, as on TLS.
        return {"mode": "sink", "sink_needle": ' id="', **self.receiver}

    def agent_tables(self, address: Mapping[str, object], token_file: str) -> dict[str, dict[str, object]]:
        """Configure the agent's way out; everything else is left at its default.

        Args:
            address: what the receiver told when it started.
            token_file: holds the HEC token.
        """
        tables: dict[str, dict[str, object]] = {"siem": {"output": self.output}}
        if self.output == "hec":
            tables["hec"] = {"urls": [address["url"]], "token_file": token_file, "gzip": self.gzip}
            if self.acknowledge:
                tables["hec"]["acknowledge"] = True
        else:
            tables["syslog"] = {"url": address["url"]}
        for name, keys in self.tables.items():
            tables.setdefault(name, {}).update(keys)
        return tables


CASES: Mapping[str, tuple[Case, ...]] = {
    "hec": (
        Case("HEC", "hec"),
        Case("HEC, gzip (the default)", "hec", gzip=True),
        Case("HEC, TLS and gzip", "hec", gzip=True, tls=True),
        Case("HEC, acknowledged", "hec", acknowledge=True),
    ),
    "syslog": (Case("syslog TCP", "syslog"), Case("RELP", "syslog", relp=True)),
    "tls": (Case("syslog TLS", "syslog", tls=True),),
}
"""By the name that `--output` takes."""
