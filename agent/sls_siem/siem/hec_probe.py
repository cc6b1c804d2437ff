"""`check --connect` for HEC: health, whether the token is good, and whether it acknowledges; creates no event."""

from __future__ import annotations

from typing import Optional

from sls_siem.net.http import HttpError
from sls_siem.siem.dialer import Dialer
from sls_siem.siem.hec_acks import Channel
from sls_siem.siem.hec_answers import Action, Answer
from sls_siem.siem.hec_route import Route, TokenMissingError
from sls_siem.siem.output import ProbeResult
from sls_siem.siem.probe import probe_address


def probe_collector(route: Route, dialer: Dialer, *, acknowledge: bool, timeout_s: float) -> tuple[ProbeResult, ...]:
    """Look at one address.

    Args:
        route: to ask over.
        dialer: to the same address.
        acknowledge: `hec.acknowledge`.
        timeout_s: for each exchange.
    """
    reached = probe_address(dialer, timeout_s)
    if not reached.ok:
        return (reached,)
    try:
        return reached, _health(route, dialer.url, timeout_s), *_token(route, dialer.url, acknowledge, timeout_s)
    except HttpError as exc:
        return reached, ProbeResult(False, dialer.url, route.explain(exc))
    except TokenMissingError as exc:
        return reached, ProbeResult(False, dialer.url, str(exc))
    finally:
        route.close()


def _health(route: Route, url: str, timeout_s: float) -> ProbeResult:
    answer = route.health(timeout_s=timeout_s)
    subject = f"{url} health"
    if answer.meaning.action is Action.HEALTHY:
        return ProbeResult(True, subject, answer.text)
    if answer.status in (404, 405):
        return ProbeResult(True, subject, f"no health page ({answer.text}); the answer to the token tells more")
    return ProbeResult(False, subject, _with_advice(route, answer))


def _token(route: Route, url: str, acknowledge: bool, timeout_s: float) -> tuple[ProbeResult, ...]:
    subject = f"{url} token"
    answer, told = route.ask_acks([0], Channel().guid, timeout_s=timeout_s)
    acknowledges: Optional[bool] = True if told is not None else False if answer.code == 14 else None
    if acknowledges is None and answer.meaning.action is not Action.HOLD_TOKEN:
        # No page for acknowledgements here: an empty request shows whether the token is good (code 5, "No data").
        answer = route.post_events(route.body(b""), Channel().guid, spent_s=0.0)
    if acknowledges is None and answer.code != 5:
        return (ProbeResult(False, subject, _with_advice(route, answer)),)
    facts = {} if acknowledges is None else {"acknowledges": acknowledges}
    good = ProbeResult(True, subject, "the token is accepted", dict(facts))
    return good, _acknowledgement(url, acknowledge, acknowledges)


def _acknowledgement(url: str, wanted: bool, found: Optional[bool]) -> ProbeResult:
    subject = f"{url} acknowledgement"
    facts = {} if found is None else {"acknowledges": found}
    if wanted and not found:
        text = "hec.acknowledge = true, but the token does not acknowledge: turn on useACK for it in Splunk"
        return ProbeResult(False, subject, text, dict(facts))
    if wanted:
        return ProbeResult(True, subject, "the token acknowledges: settled means indexed", dict(facts))
    if found:
        text = "the token can acknowledge: hec.acknowledge = true would also survive a crash of the indexer"
        return ProbeResult(True, subject, text, dict(facts))
    return ProbeResult(True, subject, "off: settled means accepted; a crash of the indexer can lose it", dict(facts))


def _with_advice(route: Route, answer: Answer) -> str:
    advice = route.advice(answer.meaning)
    text = route.clean(answer.text)
    return f"{text}; {advice}" if advice else text
