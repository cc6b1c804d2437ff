"""Ports of a schedule's world: no other takes them while what listens there is away."""

from __future__ import annotations

import socket

import pytest

from sls_siem.emulator.sls import SlsEmulator
from tests.faults.ports import HOST, free_ports, reserved_port


def test_the_port_of_a_service_that_is_away_stays_its_own() -> None:
    with reserved_port() as port, SlsEmulator(port=port) as sls, socket.socket() as other:
        sls.stop_listening()

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port), 5)
        # What asks for this port, or binds it to call somebody from there, is told that it is taken.
        with pytest.raises(OSError, match="Address already in use"):
            other.bind((HOST, port))
        sls.start_listening()
        socket.create_connection((HOST, port), 5).close()


def test_a_port_that_was_reserved_is_given_back() -> None:
    with reserved_port() as port:
        pass

    with socket.socket() as other:
        other.bind((HOST, port))


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
