"""Who takes part, and how each is started and signed in to."""

from . import apache, envoy, haproxy, machine, nginx, oauth2_proxy
from .gateway import Gateway
from .peer import HOST, Peer, Place
from .process import Failed, end_all, free_port, say
from .provider import Provider
from .redis import Redis
from .upstream import Upstream

# Key → what tables say.
NAMES = {
    "direct": "upstream without anybody before it",
    "nginx": "nginx, bare",
    "haproxy": "HAProxy, bare",
    "envoy": "Envoy, bare",
    "public": "**vestibule**, public lane",
    "signed-in": "**vestibule**, signed in (SQLite)",
    "redis": "**vestibule**, signed in (Redis)",
    "no-log": "**vestibule**, signed in, access log off",
    "tls": "**vestibule**, signed in (SQLite), TLS",
    "envoy-oauth2": "Envoy with OAuth2 filter",
    "apache-shm": "Apache, mod_auth_openidc, shared memory",
    "apache-redis": "Apache, mod_auth_openidc, Redis",
    "oauth2-proxy": "oauth2-proxy, Redis",
}

# Key → the path that its redirect URI has.
CALLBACKS = {
    "signed-in": "/oauth2/callback",
    "redis": "/oauth2/callback",
    "no-log": "/oauth2/callback",
    "tls": "/oauth2/callback",
    "envoy-oauth2": "/callback",
    "apache-shm": "/oidc/callback",
    "apache-redis": "/oidc/callback",
    "oauth2-proxy": "/oauth2/callback",
}


class Lineup:
    """Everything that runs. `binary` is the gateway."""

    def __init__(self, root, folder, tools, binary):
        self.measured, self.beside = machine.processors()
        self.root, self.folder, self.tools, self.binary = root, folder, tools, binary
        self.ports = {key: free_port() for key in CALLBACKS}
        self.certificate = machine.certificate(folder)
        self.peers, self.left_out = {}, {}
        self._open()

    def _open(self):
        certificate, key = self.certificate
        self.upstream = Upstream(self.folder, self.beside)
        self.place = Place(self.folder, self.upstream.port, certificate, key, self.measured, 12000)
        redirects = [
            f"{'https' if key == 'tls' else 'http'}://{HOST}:{self.ports[key]}{path}"
            for key, path in CALLBACKS.items()
        ]
        self.provider = Provider(self.root, self.folder, self.beside, redirects)
        direct = Peer("direct", self.upstream.process, {"h1": self.upstream.port})
        self.peers["direct"] = direct

    def renew(self):
        """Ends everybody and begins with nobody."""
        end_all()
        self.peers = {}
        self._open()

    def _redis(self, name):
        return Redis(f"redis-{name}", self.folder, self.beside)

    def _gateway(self, key, around=(), **more):
        return Gateway(
            self.place, self.binary, f"vestibule-{key}", self.provider.issuer, self.ports[key],
            around=around, **more,
        )

    def _start(self, key, around=()):
        """Some come in twos, out of one process."""
        if key == "nginx":
            return {key: nginx.start(self.place, around, master="off" if around else "on")}
        if key == "haproxy":
            return {key: haproxy.start(self.place, around)}
        if key in ("public", "signed-in"):
            gateway = self._gateway("signed-in", around)
            return {"public": gateway.public("public"), "signed-in": gateway.signed_in("signed-in")}
        if key == "redis":
            redis = self._redis(key)
            peer = self._gateway(key, around, redis=redis).signed_in(key)
            peer.helper = redis
            return {key: peer}
        if key == "no-log":
            return {key: self._gateway(key, around, log=False).signed_in(key)}
        if key == "tls":
            return {key: self._gateway(key, around, tls=True).signed_in(key)}
        if key in ("envoy", "envoy-oauth2"):
            program = machine.envoy(self.tools)
            if not program:
                raise Failed("Envoy is not installed")
            pair = envoy.start(self.place, program, self.provider.issuer, self.ports["envoy-oauth2"])
            return dict(zip(("envoy", "envoy-oauth2"), pair))
        if key in ("apache-shm", "apache-redis"):
            redis = self._redis(key) if key == "apache-redis" else None
            return {key: apache.start(self.place, self.provider.issuer, self.ports[key], redis)}
        redis = self._redis(key)
        return {key: oauth2_proxy.start(self.place, self.provider.issuer, self.ports[key], redis)}

    def start(self, keys, around=()):
        """Starts whoever does not run; whoever cannot is left out, loudly."""
        for key in keys:
            if key in self.peers or key in self.left_out:
                continue
            try:
                started = self._start(key, around)
                for other in started.values():
                    other.sign_in()
                self.peers.update(started)
            except Failed as failure:
                self.left_out[key] = str(failure)
                say(f"LEFT OUT: {key}: {failure}")

    def get(self, key):
        return self.peers.get(key)
