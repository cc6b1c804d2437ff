"""Ports for the agents of a world are free, and no other world's."""

from __future__ import annotations

import socket

import pytest

from tests.faults.ports import HOST, free_ports


def test_the_successors_of_a_port_are_free_and_it_is_taken_itself() -> None:
    with free_ports() as first, socket.socket() as other:
        with pytest.raises(OSError, match="Address already in use"):
            other.bind((HOST, first))
        for port in range(first + 1, first + 11):
            with socket.socket() as successor:
                successor.bind((HOST, port))


def test_two_worlds_have_ports_of_their_own() -> None:
    with free_ports() as first, free_ports() as second:
        assert first != second
