"""The tree of errors: what each carries, and that a stop is none of them."""

from __future__ import annotations

import inspect

import pytest

from sls_siem import errors


def _classes() -> list[type]:
    return [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, Exception)]


@pytest.mark.parametrize("cls", _classes(), ids=lambda cls: cls.__name__)
def test_every_class_stands_in_the_tree_at_the_top_of_the_module(cls: type) -> None:
    assert cls.__name__ in (errors.__doc__ or "")


def test_everything_but_a_signal_to_unwind_is_an_agent_error() -> None:
    outside = {cls for cls in _classes() if not issubclass(cls, errors.AgentError)}

    assert outside == {errors.Stopped, errors.Rerouted}


def test_a_configuration_error_carries_every_problem() -> None:
    error = errors.ConfigError(["a: b: wrong", "c: d: wrong"])

    assert error.problems == ("a: b: wrong", "c: d: wrong")
    assert str(error) == "a: b: wrong\nc: d: wrong"


def test_an_answer_of_the_service_keeps_its_code_and_request_id() -> None:
    error = errors.TransientSourceError("busy", retry_after_s=2.5, code="ServerBusy", status=503, request_id="r1")

    assert isinstance(error, errors.SourceError)
    assert (str(error), error.retry_after_s) == ("busy", 2.5)
    assert (error.code, error.status, error.request_id) == ("ServerBusy", 503, "r1")


def test_a_missing_answer_has_no_code() -> None:
    error = errors.SourceError("no route")

    assert (error.code, error.status, error.request_id) == ("", 0, "")


def test_a_codec_error_names_the_group() -> None:
    assert errors.CodecError("cut short", group_index=4).group_index == 4
    assert errors.CodecError("cut short").group_index == -1
