"""oauth2-proxy, if OAUTH2_PROXY_BIN names one; sessions in Redis."""

import os

from .peer import HOST, Peer
from .process import Failed, Process
from .provider import CLIENT, SECRET


def start(place, issuer, port, redis):
    program = os.environ.get("OAUTH2_PROXY_BIN")
    if not program:
        raise Failed("OAUTH2_PROXY_BIN names no program")
    options = {
        "provider": "oidc",
        "oidc-issuer-url": issuer,
        "client-id": CLIENT,
        "client-secret": SECRET,
        "redirect-url": f"http://{HOST}:{port}/oauth2/callback",
        "http-address": f"127.0.0.1:{port}",
        "upstream": f"http://127.0.0.1:{place.upstream_port}/",
        "email-domain": "*",
        "cookie-secret": "side-by-side-32-bytes-of-secrets",
        "cookie-secure": "false",
        "code-challenge-method": "S256",
        "session-store-type": "redis",
        "redis-connection-url": f"redis://127.0.0.1:{redis.port}/0",
        "skip-provider-button": "true",
        "request-logging": "false",
        "auth-logging": "false",
    }
    command = [program, *(f"--{name}={value}" for name, value in options.items())]
    process = Process("oauth2-proxy", command, place.folder, place.cpus, {"GOMAXPROCS": "1"})
    process.wait_for(port, 60)
    peer = Peer("oauth2-proxy", process, {"h1": port}, identity="user=ann")
    peer.helper = redis
    return peer
