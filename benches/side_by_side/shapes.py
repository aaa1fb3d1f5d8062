"""What is asked of whom, and how one measurement of it goes."""

import json
import re

from . import load
from .process import Failed, output

EVERYBODY = (
    "nginx", "haproxy", "envoy", "public", "signed-in", "redis", "no-log",
    "envoy-oauth2", "apache-shm", "apache-redis", "oauth2-proxy",
)


class Shape:
    def __init__(self, title, way, path, peers, kind="closed"):
        self.title, self.way, self.path, self.peers, self.kind = title, way, path, peers, kind


SHAPES = {
    "h1-1k": Shape("HTTP/1.1, 1 KiB", "h1", "/x", EVERYBODY),
    "h1-64k": Shape("HTTP/1.1, 64 KiB", "h1", "/64k", ("nginx", "haproxy", "envoy", "signed-in")),
    "h1-1m": Shape("HTTP/1.1, 1 MiB", "h1", "/1m", ("nginx", "haproxy", "envoy", "signed-in")),
    "tls-1k": Shape("HTTP/1.1 over TLS, 1 KiB", "tls", "/x", ("nginx", "haproxy", "envoy", "tls")),
    "tls-64k": Shape("HTTP/1.1 over TLS, 64 KiB", "tls", "/64k", ("nginx", "haproxy", "tls")),
    "h2-1k": Shape(
        "HTTP/2 over TLS, 1 KiB, 8 connections with 8 streams", "tls", "/x",
        ("nginx", "haproxy", "envoy", "tls"), "streams",
    ),
    "steady": Shape(
        "HTTP/1.1, 1 KiB, constant rate", "h1", "/x",
        ("direct", "nginx", "haproxy", "public", "signed-in", "redis", "envoy-oauth2",
         "apache-shm", "apache-redis", "oauth2-proxy"), "steady",
    ),
}


def _steady(peer, shape, generator, rate, seconds, cpus, told):
    headers = [f"{name}: {value}" for name, value in peer.headers(shape.way).items()]
    address = f"127.0.0.1:{peer.ports[shape.way]}"
    command = [generator, address, peer.path + shape.path, str(rate), str(seconds), *headers]
    said = json.loads(output(command, cpus, seconds + 60))
    if said["bad"] or not said["good"]:
        raise Failed(f"{peer.name}: {said['bad']} of {said['bad'] + said['good']} requests failed")
    told.update(said)
    return said["good"]


def measure(peer, shape, lineup, generator, rate, seconds):
    """One sample, as it is kept."""
    told = {}

    def run():
        if shape.kind == "streams":
            return load.streams(peer, shape.way, shape.path, seconds, lineup.beside)
        if shape.kind == "steady":
            return _steady(peer, shape, generator, rate, seconds, lineup.beside, told)
        return load.closed_loop(peer, shape.way, shape.path, seconds, lineup.beside)

    sample = load.measure(peer, lineup.upstream, run)
    peer.process.empty_log()
    kept = {key: round(value, 3) for key, value in vars(sample).items()}
    return kept | {key: told[key] for key in ("p50_us", "p99_us") if key in told}


def chosen(words):
    """`SHAPES/PEERS`, both lists with commas, either may be empty."""
    shapes, _, peers = (words or "").partition("/")
    return (
        [word for word in re.split(",", shapes) if word],
        [word for word in re.split(",", peers) if word],
    )
