"""What every peer is: a server in front of the upstream, which may know
people and then has to be signed in to."""

import http.client
import os

from .browser import TLS, USER_AGENT, Browser
from .process import Failed

HOST = "app.localhost"

# As long as the gateway's own ticket, for those who know nobody.
STAND_IN = "__Host-vestibule=" + "v1." + "A" * 85


class Place:
    """What a peer gets to stand on."""

    def __init__(self, folder, upstream_port, certificate, key, cpus, connections):
        self.folder, self.upstream_port, self.cpus = folder, upstream_port, cpus
        self.certificate, self.key = certificate, key
        # The most that servers are told to take, clients' and upstream's.
        self.connections = connections

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path


class Peer:
    """`ports` maps "h1" and "tls" to ports; "tls" speaks HTTP/2 too. With
    `identity`, a request that was let in carries that text to the upstream."""

    def __init__(self, name, process, ports, identity=None, path="", helper=None):
        self.name, self.process, self.ports = name, process, ports
        self.identity, self.path, self.helper = identity, path, helper
        self.cookie = STAND_IN
        self.most_connections = None

    def origin(self, way):
        scheme = "http" if way == "h1" else "https"
        return f"{scheme}://{HOST}:{self.ports[way]}"

    def sign_in(self):
        if not self.identity:
            return
        browser = Browser()
        way = next(iter(self.ports))
        text = browser.sign_in(f"{self.origin(way)}{self.path}/probe")
        self.cookie = browser.cookie(HOST)
        self._check(text)

    def _check(self, text):
        if self.identity and self.identity not in text:
            raise Failed(f"{self.name}: the upstream was not told who asks:\n{text[:600]}")
        if "connection=" not in text:
            raise Failed(f"{self.name}: that did not come from the upstream:\n{text[:600]}")

    def headers(self, way):
        """What a browser sends, twelve fields, some 700 bytes."""
        return {
            "Host": f"{HOST}:{self.ports[way]}",
            "User-Agent": USER_AGENT,
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
            "Accept-Language": "en-GB,en;q=0.9,de;q=0.7",
            "Accept-Encoding": "gzip, deflate, br, zstd",
            "Referer": f"{self.origin(way)}/dashboard/overview",
            "Cookie": f"theme=dark; {self.cookie}; lang=en",
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
            "Sec-CH-UA": '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
            "Cache-Control": "max-age=0",
        }

    def probe(self, way):
        """One request that shows that people still arrive as who they are."""
        kind = http.client.HTTPConnection if way == "h1" else http.client.HTTPSConnection
        extra = {} if way == "h1" else {"context": TLS}
        connection = kind("127.0.0.1", self.ports[way], timeout=20, **extra)
        connection.request("GET", f"{self.path}/probe", headers=self.headers(way))
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        if answer.status != 200:
            raise Failed(f"{self.name}: a probe got {answer.status}")
        self._check(text)
