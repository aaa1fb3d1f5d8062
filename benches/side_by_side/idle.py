"""Memory of connections that are kept and do nothing, each after one request."""

import socket
import ssl
import time

from .accounting import resident_kib
from .browser import TLS
from .process import Failed

CONNECTIONS = {"h1": 10_000, "tls": 4_000}


def _request(peer, way):
    lines = "".join(f"{name}: {value}\r\n" for name, value in peer.headers(way).items())
    return f"GET {peer.path}/x HTTP/1.1\r\n{lines}\r\n".encode()


def _connect(peer, way, number):
    # Several addresses, since one has some 28 000 ports.
    source = (f"127.0.0.{2 + number // 20_000}", 0)
    connection = socket.create_connection(("127.0.0.1", peer.ports[way]), 20, source)
    return TLS.wrap_socket(connection) if way == "tls" else connection


def _ask(connection, request):
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        if not part:
            raise OSError("the connection was closed")
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise OSError(head[:80].decode(errors="replace"))
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)


def measure(peer, way):
    """What a fresh process has, and what each connection adds."""
    wanted = min(CONNECTIONS[way], (peer.most_connections or 1_000_000) - 100)
    request = _request(peer, way)
    held = []
    try:
        # What the first hundred bring along is the server's own.
        for number in range(100):
            with _connect(peer, way, number) as connection:
                _ask(connection, request)
        time.sleep(0.5)
        before = resident_kib(peer.process)
        for number in range(wanted):
            connection = _connect(peer, way, number)
            held.append(connection)
            _ask(connection, request)
        # The last ones have been idle for long enough by then, too, and what
        # they gave back went on to the system, which allocators put off.
        time.sleep(30)
        after = resident_kib(peer.process)
        # They must still be there, or their memory was not measured.
        for connection in held[:: max(1, wanted // 100)]:
            _ask(connection, request)
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"{peer.name}: connection {len(held)} of {wanted}: {error}") from None
    finally:
        for connection in held:
            connection.close()
    return {
        "connections": wanted,
        "fresh_kib": before,
        "each_kib": round((after - before) / wanted, 2),
    }
