"""HAProxy as a bare proxy."""

import resource

from .peer import Peer
from .process import Process, free_port, need

CONFIG = """
global
    nbthread 1
    maxconn {most}
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    no log
    http-reuse always
    timeout connect 5s
    timeout client 300s
    timeout server 60s
    timeout http-keep-alive 300s
frontend plain
    bind 127.0.0.1:{h1} backlog 4096
    default_backend application
frontend tls
    bind 127.0.0.1:{tls} backlog 4096 ssl crt {pair} alpn h2,http/1.1
    default_backend application
backend application
    server one 127.0.0.1:{upstream} pool-max-conn 1024 pool-purge-delay 60s
"""


def start(place, around=()):
    ports = {"h1": free_port(), "tls": free_port()}
    # It wants two files for each connection, or does not start.
    most = min(place.connections, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100) // 2)
    with open(place.certificate) as certificate, open(place.key) as key:
        pair = place.write("pair.pem", certificate.read() + key.read())
    config = place.write(
        "haproxy.cfg", CONFIG.format(most=most, upstream=place.upstream_port, pair=pair, **ports)
    )
    command = [*around, need("haproxy"), "-db", "-f", config]
    process = Process("haproxy", command, place.folder, place.cpus).wait_for(ports["h1"], 60)
    peer = Peer("HAProxy", process, ports)
    peer.most_connections = most
    return peer
