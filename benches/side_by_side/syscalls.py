"""System calls per request, from strace: the difference of two run lengths,
so that connections that are opened do not count."""

import re
import signal
import subprocess
import time

from . import load
from .process import Failed, need

FEW, MANY = 1000, 5000


def _count(peer, way, requests, folder, cpus):
    """Calls of the whole tree while so many requests are served."""
    table = f"{folder}/strace.txt"
    words = [word for pid in peer.process.tree() for word in ("-p", str(pid))]
    with open(f"{folder}/strace.log", "w+") as log:
        tracer = subprocess.Popen([need("strace"), "-c", "-f", "-o", table, *words], stderr=log)
        try:
            _await_attached(tracer, log, len(words) // 2)
            load.counted(peer, way, "/x", requests, cpus)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(30)
    with open(table) as written:
        return read(written.read())


def read(table):
    """{system call: how often} of what strace -c writes."""
    calls = {}
    for line in table.splitlines():
        found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if found and found.group(2) != "total":
            calls[found.group(2)] = int(found.group(1))
    return calls


def _await_attached(tracer, log, processes):
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        if tracer.poll() is not None:
            break
        with open(log.name) as seen:
            if seen.read().count("attached") >= processes:
                return
        time.sleep(0.05)
    raise Failed("strace cannot look at it")


def measure(peer, way, folder, cpus):
    few = _count(peer, way, FEW, folder, cpus)
    many = _count(peer, way, MANY, folder, cpus)
    each = {name: (many[name] - few.get(name, 0)) / (MANY - FEW) for name in many}
    each = {name: round(number, 2) for name, number in each.items() if number >= 0.005}
    return {"total": round(sum(each.values()), 2), "each": dict(sorted(each.items(), key=lambda one: -one[1]))}
