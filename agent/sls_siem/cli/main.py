"""The parser of the command line, and what each exit status means."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from sls_siem.cli.exits import EXIT_CONFIG, EXIT_DONE, EXIT_UNAVAILABLE, tell
from sls_siem.errors import AgentError, ConfigError

DEFAULT_CONFIG = "/etc/sls-siem/agent.toml"
MOST_INSTANCES = 99


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command; returns the exit status (0 done, 2 usage, 69 peer, 70 bug, 78 configuration)."""
    try:
        arguments = make_parser().parse_args(argv)
        return int(arguments.command(arguments))
    except ConfigError as exc:
        for problem in exc.problems:
            tell(problem)
        return EXIT_CONFIG
    except AgentError as exc:
        tell(str(exc))
        return EXIT_UNAVAILABLE
    except KeyboardInterrupt:
        return EXIT_DONE
    except BrokenPipeError:
        # Whoever read our output has left (`| head`); Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """Build the parser (also read by the documentation and the completion)."""
    parser = argparse.ArgumentParser(
        prog="sls-siem", description="Ship Alibaba Cloud SLS logs to an on-premises SIEM, losing none."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_check(commands)
    _add_status(commands)
    _add_replay(commands)
    _add_dead_letter(commands)
    _add_demo(commands)
    _add_bench(commands)
    version = commands.add_parser("version", help="print the version and the codec in use")
    version.set_defaults(command=_version)
    return parser


Commands = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_common(parser: argparse.ArgumentParser, *, without: str = "1") -> None:
    parser.add_argument("--config", type=Path, default=Path(DEFAULT_CONFIG), metavar="FILE", help="%(default)s")
    parser.add_argument("--instance", type=_instance, default=1, metavar="N", help=f"1 to 99, default {without}")


def _instance(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= MOST_INSTANCES:
        raise ConfigError([f"--instance: not an instance number: {text!r}, would be right: 1 to {MOST_INSTANCES}"])
    return number


def _add_run(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("run", help="ship until told to stop")  # type: ignore[attr-defined]
    _add_common(parser)
    parser.add_argument(
        "--until-caught-up", action="store_true", help="end once everything that is there now has been read and saved"
    )
    parser.set_defaults(command=_run)


def _add_check(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("check", help="name every problem of the configuration")  # type: ignore[attr-defined]
    _add_common(parser)
    parser.add_argument("--connect", action="store_true", help="also ask SLS and the SIEM")
    parser.add_argument(
        "--print-ram-policy", action="store_true", help="print the least that a RAM policy must allow, as JSON"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(command=_check)


def _add_status(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("status", help="show how the running instances are")  # type: ignore[attr-defined]
    parser.add_argument("--instance", type=_instance, default=None, metavar="N", help="only this one")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--watch", action="store_true", help="refresh until interrupted")
    parser.set_defaults(command=_status)


def _add_replay(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("replay", help="ship a past time range again")  # type: ignore[attr-defined]
    _add_common(parser)
    parser.add_argument("--from", dest="start", required=True, metavar="TIME", help="time of receipt, RFC 3339")
    parser.add_argument("--to", dest="end", required=True, metavar="TIME", help="the first one not wanted any more")
    parser.add_argument("--shard", type=int, action="append", metavar="K", help="only this one; may be repeated")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(command=_replay)


def _add_dead_letter(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("dead-letter", help="look after events that the SIEM refused")  # type: ignore[attr-defined]
    parser.add_argument("action", choices=("list", "show", "retry", "purge"))
    parser.add_argument("ids", nargs="*", metavar="ID", help="event ids; none means all")
    _add_common(parser, without="1; `list` takes every instance")
    parser.set_defaults(instance=None)
    parser.add_argument("--yes", action="store_true", help="do not ask before all are purged")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(command=_dead_letter)


def _add_demo(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("demo", help="see it work without account and network")  # type: ignore[attr-defined]
    parser.add_argument("--output", choices=("hec", "syslog"), default="hec")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S")
    parser.add_argument("--rate", type=float, default=5.0, metavar="MB_PER_S")
    parser.set_defaults(command=_demo)


def _add_bench(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("bench", help="measure the speed on this machine")  # type: ignore[attr-defined]
    parser.add_argument("--output", choices=("hec", "syslog", "tls"), default="hec")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(command=_bench)


# --- the commands: each is imported only when it is wanted, so that `run` never loads the emulator ---


def _run(arguments: argparse.Namespace) -> int:
    from sls_siem.service.run import run

    return run(arguments.config, arguments.instance, os.environ, until_caught_up=arguments.until_caught_up)


def _check(arguments: argparse.Namespace) -> int:
    from sls_siem.cli.check import check, print_ram_policy

    if arguments.print_ram_policy:
        return print_ram_policy(arguments.config, arguments.instance, os.environ)
    return check(arguments.config, arguments.instance, os.environ, connect=arguments.connect, as_json=arguments.json)


def _status(arguments: argparse.Namespace) -> int:
    from sls_siem.cli.status import status

    return status(arguments.instance, as_json=arguments.json, watch=arguments.watch)


def _replay(arguments: argparse.Namespace) -> int:
    from sls_siem.cli.replay import replay

    return replay(
        arguments.config,
        arguments.instance,
        start=arguments.start,
        end=arguments.end,
        shards=arguments.shard,
        yes=arguments.yes,
    )


def _dead_letter(arguments: argparse.Namespace) -> int:
    from sls_siem.cli.dead_letter import dead_letter

    return dead_letter(
        arguments.action,
        arguments.ids,
        arguments.config,
        arguments.instance,
        as_json=arguments.json,
        yes=arguments.yes,
    )


def _demo(arguments: argparse.Namespace) -> int:
    from sls_siem.cli.demo import demo

    return demo(arguments.output, seconds=arguments.seconds, mb_per_s=arguments.rate)


def _bench(arguments: argparse.Namespace) -> int:
    from sls_siem.cli.bench import bench

    return bench(arguments.output, as_json=arguments.json)


def _version(_arguments: argparse.Namespace) -> int:
    from sls_siem.codec import codec_name
    from sls_siem.version import __version__

    print(f"sls-siem {__version__} (codec: {codec_name()})")
    return EXIT_DONE
