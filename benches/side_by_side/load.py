"""The load, and whether every request of it was served as it should be."""

import re

from .accounting import Usage
from .process import Failed, need, output

CONNECTIONS = 32
H2_CONNECTIONS, H2_STREAMS = 8, 8


class Sample:
    """One measurement of one peer."""

    def __init__(self, requests, nanoseconds, switches, redis=(0, 0)):
        self.requests = requests
        self.cpu_us = nanoseconds / requests / 1000
        self.switches = switches / requests
        self.redis_us = redis[0] / requests / 1000
        self.redis_commands = redis[1] / requests


def _header_words(headers):
    words = []
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    return words


def closed_loop(peer, way, path, seconds, cpus, script=None):
    """wrk: 32 connections that always have a request under way."""
    scheme = "http" if way == "h1" else "https"
    url = f"{scheme}://127.0.0.1:{peer.ports[way]}{peer.path}{path}"
    command = [need("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "20s"]
    command += ["-s", script] if script else []
    text = output([*command, *_header_words(peer.headers(way)), url], cpus, seconds + 60)
    done = re.search(r"(\d+) requests in", text)
    if not done or int(done.group(1)) == 0:
        raise Failed(f"{peer.name}: no request was answered\n{text}")
    if bad := re.search(r"(Non-2xx.*|Socket errors.*)", text):
        raise Failed(f"{peer.name}: {bad.group(1).strip()}")
    return int(done.group(1))


def _h2load(peer, way, path, words, cpus, patience):
    """(requests answered, requests with a 2xx)"""
    headers = {**peer.headers(way)}
    # The authority comes from the address.
    del headers["Host"]
    url = f"{peer.origin(way)}{peer.path}{path}"
    reach = f"--connect-to=127.0.0.1:{peer.ports[way]}"
    text = output([need("h2load"), "-t1", reach, *words, *_header_words(headers), url], cpus, patience)
    counts = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    if not counts:
        raise Failed(f"{peer.name}: h2load said\n{text}")
    good, *bad = map(int, counts.groups())
    if any(bad) or good == 0:
        raise Failed(f"{peer.name}: {counts.group(0)}")
    return good


def streams(peer, way, path, seconds, cpus):
    """h2load: 8 connections with 8 streams each."""
    words = [f"-c{H2_CONNECTIONS}", f"-m{H2_STREAMS}", f"-D{seconds}", "--npn-list=h2"]
    return _h2load(peer, way, path, words, cpus, seconds + 60)


def counted(peer, way, path, requests, cpus):
    """Exactly so many requests in HTTP/1.1 over 32 connections."""
    words = ["--h1", f"-c{CONNECTIONS}", f"-n{requests}"]
    done = _h2load(peer, way, path, words, cpus, 300)
    if done != requests:
        raise Failed(f"{peer.name}: {done} of {requests} requests were answered")
    return done


def measure(peer, upstream, run):
    """Runs `run`, which returns its number of requests, and checks that every
    one of them reached the upstream, over connections that are kept."""
    peer.probe(next(iter(peer.ports)))
    accepted, asked = upstream.counts()
    store = peer.helper
    if store:
        commands, store_before = store.commands(), Usage(store.process)
    before = Usage(peer.process)
    requests = run()
    time, switches = Usage(peer.process).since(before)
    in_store = (0, 0)
    if store:
        in_store = Usage(store.process).since(store_before)[0], store.commands() - commands
    accepted_after, asked_after = upstream.counts()
    reached = asked_after - asked
    if reached < requests:
        raise Failed(f"{peer.name}: {requests} answers, but only {reached} requests at the upstream")
    opened = accepted_after - accepted
    if opened > 200 + requests // 100:
        raise Failed(f"{peer.name}: {opened} connections to the upstream for {requests} requests: not kept")
    return Sample(requests, time, switches, in_store)
