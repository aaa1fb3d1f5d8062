"""The gateway itself: everything on, one worker."""

import os
import re
import time
import urllib.request

from .peer import HOST, Peer
from .process import Failed, Process, free_port, output
from .provider import CLIENT, SECRET

CONFIG = """
[server]
listen = ["127.0.0.1:{port}"]
public_url = "{scheme}://{host}:{port}"
workers = 1
{tls}
[admin]
listen = "127.0.0.1:{admin}"
[session]
store = "{store}"
path = "{state}"
[provider.main]
kind = "oidc"
issuer = "{issuer}"
client_id = "{client}"
client_secret = "{secret}"
[route.app]
upstream = "http://127.0.0.1:{upstream}"
access = [{{ groups = ["staff"] }}]
rules = [{{ path = "/public/*", lane = "public" }}]
[limits]
connections = {most}
connections_per_address = {most}
open_requests_per_minute = {open_requests}
keep_alive = "10m"
{more}
"""

OPEN_REQUESTS = 100_000_000


class Gateway:
    """A process of the gateway and the peers that it is: a way in for people
    who are signed in, one for everybody."""

    def __init__(self, place, binary, name, issuer, port, tls=False, redis=None, log=True, around=()):
        self.name, self.admin = name, free_port()
        state = os.path.join(place.folder, name.replace(" ", "-"))
        os.makedirs(state, exist_ok=True)
        more = "[log]\naccess = false\n" if not log else ""
        if redis:
            keys = os.path.join(state, "keys")
            self._make_keys(binary, keys)
            more += f'[redis]\nurl = "redis://127.0.0.1:{redis.port}/0"\n[keys]\nfile = "{keys}"\n'
        tls_lines = (
            f'[server.tls]\ncertificate_file = "{place.certificate}"\nprivate_key_file = "{place.key}"'
            if tls else ""
        )
        file = f"{name}.toml".replace(" ", "-")
        config = place.write(file, CONFIG.format(
            port=port, scheme="https" if tls else "http", host=HOST, tls=tls_lines,
            admin=self.admin, store="redis" if redis else "embedded", state=state, issuer=issuer,
            client=CLIENT, secret=SECRET, upstream=place.upstream_port,
            open_requests=OPEN_REQUESTS, most=place.connections, more=more,
        ))
        command = [*around, binary, "serve", "--config", config]
        began = time.monotonic()
        self.process = Process(name, command, place.folder, place.cpus).wait_for(port, 60)
        self.started_after = time.monotonic() - began
        self.ports = {"tls" if tls else "h1": port}
        self.place, self.config, self.port = place, config, port
        self._await_ready()

    @staticmethod
    def _make_keys(binary, path):
        if not os.path.exists(path):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(output([binary, "keys", "generate"]))

    def _await_ready(self):
        limit = time.monotonic() + 30
        while time.monotonic() < limit:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=2).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failed(f"{self.name} does not become ready:\n{self.process.tail()}")

    def signed_in(self, name):
        peer = Peer(name, self.process, self.ports, identity="user=ann")
        peer.gateway = self
        return peer

    def public(self, name):
        return Peer(name, self.process, self.ports, path="/public")

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found = re.search(rf"^{name} (\S+)$", text, re.M)
        if not found:
            raise Failed(f"{self.name} tells no {name}")
        return int(float(found.group(1)))

    def neighbour(self):
        """The configuration of one more replica."""
        with open(self.config) as file:
            text = file.read()
        for port in (self.port, self.admin):
            text = text.replace(f'listen = ["127.0.0.1:{port}"]', f'listen = ["127.0.0.1:{free_port()}"]')
            text = text.replace(f'listen = "127.0.0.1:{port}"', f'listen = "127.0.0.1:{free_port()}"')
        text += "" if "[log]" in text else "[log]\naccess = false\n"
        return self.place.write("neighbour.toml", text)


def version(binary):
    found = re.search(r"\S+$", output([binary, "--version"]).strip())
    return found.group(0) if found else "unknown"
