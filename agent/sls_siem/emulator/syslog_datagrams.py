"""The UDP side of a syslog receiver: one datagram is one frame, and there is no connection to break."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import deque
from typing import Optional

from sls_siem.emulator.listener import Connection
from sls_siem.emulator.store import now_s
from sls_siem.emulator.syslog_inbox import Inbox, SyslogSettings


class Datagrams:
    """The UDP side: one datagram is one frame.

    Args:
        inbox: where frames go.
        host: address to bind.
        port: 0 lets the kernel choose, once.
    """

    def __init__(self, inbox: Inbox[SyslogSettings], host: str, port: int) -> None:
        self._inbox = inbox
        self.tls: Optional[ssl.SSLContext] = None
        self.accepted = 0
        self.handshake_failures: deque[str] = deque()
        self._sock: Optional[socket.socket] = None
        self._thread: Optional[threading.Thread] = None
        self.dropping = False
        self.host, self.port = host, port

    @property
    def listening(self) -> bool:
        """Whether datagrams are taken."""
        return self._sock is not None

    def listen(self) -> None:
        """Take datagrams, the first time or again."""
        if self._sock is not None:
            return
        sock = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._inbox.settings.receive_buffer or 8 << 20)
        sock.bind((self.host, self.port))
        self.port = sock.getsockname()[1]
        sock.settimeout(0.05)
        self._sock = sock
        self._thread = threading.Thread(target=self._run, args=(sock,), name="syslog-udp", daemon=True)
        self._thread.start()

    def connections(self) -> list[Connection]:
        """There are none."""
        return []

    def end_connections(self, *, reset: bool = True) -> int:  # noqa: ARG002 - there are none
        """Do nothing; 0."""
        return 0

    def stop(self) -> None:
        """Take no more."""
        self.stop_listening()

    def stop_listening(self, *, connections: str = "rst") -> None:  # noqa: ARG002 - there are none
        """Take no more; what the kernel still held is lost."""
        sock, self._sock = self._sock, None
        if sock is not None and self._thread is not None:
            self._thread.join()
            sock.close()

    def _run(self, sock: socket.socket) -> None:
        while self._sock is sock:
            try:
                frame = sock.recv(65_536)
            except socket.timeout:
                continue
            self._inbox.count(bytes=len(frame))
            if self.dropping:
                continue
            if len(frame) > self._inbox.settings.max_frame_bytes:
                self._inbox.refuse(f"a datagram of {len(frame)} octets", frame, 0)
            elif self._inbox.settings.mode == "sink":
                self._inbox.count(events=1)
            else:
                self._inbox.put([frame], connection=0, at_s=now_s())
