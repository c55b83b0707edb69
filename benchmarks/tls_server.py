"""The canned server over TLS: one thread, one epoll loop over the standard library's TLS sockets.

No asyncio in it, so that it costs a fraction of what any client does. Started by `server.serving` as
`python -m benchmarks.tls_server CERTIFICATE REQUEST_LINE=FILE ...`; prints its port.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
from pathlib import Path

import attrs

__all__: list[str] = []


@attrs.define(eq=False)
class _Connection:
    """One client: what has come in and what has still to go out."""

    stream: ssl.SSLSocket
    ready: bool = False
    events: int = select.EPOLLIN
    received: bytes = b""
    left: memoryview = attrs.field(factory=lambda: memoryview(b""))


class _Server:
    def __init__(self, certificate: str, routes: list[str]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        split = [route.rpartition("=") for route in routes]
        self._routes = [(request.encode(), _answer(file)) for request, _, file in split]
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, _Connection] = {}
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            for number, _ in self._poll.poll():
                if number == self._listener.fileno():
                    self._welcome()
                    continue
                connection = self._connections[number]
                try:
                    self._move(connection)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    events = select.EPOLLIN | (select.EPOLLOUT if connection.left else 0)
                    if events != connection.events:
                        self._poll.modify(number, events)
                        connection.events = events
                except (OSError, EOFError):
                    self._poll.unregister(number)
                    del self._connections[number]
                    connection.stream.close()

    def _welcome(self) -> None:
        client, _ = self._listener.accept()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = self._context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        self._connections[stream.fileno()] = _Connection(stream)
        self._poll.register(stream, select.EPOLLIN)

    def _move(self, connection: _Connection) -> None:
        """Do what can be done without waiting; ends by raising what the stream waits for."""
        stream = connection.stream
        if not connection.ready:
            stream.do_handshake()
            connection.ready = True
        while True:
            while connection.left:
                connection.left = connection.left[stream.send(connection.left) :]
            piece = stream.recv(65536)
            if not piece:
                raise EOFError
            connection.received += piece
            self._digest(connection)

    def _digest(self, connection: _Connection) -> None:
        received = connection.received
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = received[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(received) < end + 4 + length:
            return
        connection.received = received[end + 4 + length :]
        connection.left = next(answer for key, answer in self._routes if received.startswith(key))


def _answer(file: str) -> memoryview:
    body = Path(file).read_bytes()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return memoryview(head + body)


if __name__ == "__main__":
    server = _Server(sys.argv[1], sys.argv[2:])
    print(server.port, flush=True)
    server.serve()
