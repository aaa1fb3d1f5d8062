"""What is exact or slow, and so is measured once: after the rounds, by itself."""

from . import idle, instructions, syscalls
from .accounting import resident_kib
from .process import Failed, say

# Name → (key of a peer, way) of everybody that is looked at.
LOOKS = {
    "syscalls": [
        ("nginx", "h1"), ("haproxy", "h1"), ("envoy", "h1"), ("public", "h1"), ("signed-in", "h1"),
        ("redis", "h1"), ("tls", "tls"), ("envoy-oauth2", "h1"), ("apache-shm", "h1"),
        ("apache-redis", "h1"),
    ],
    # Of those that callgrind can follow: one thread at a time.
    "instructions": [
        ("nginx", "h1"), ("haproxy", "h1"), ("public", "h1"), ("signed-in", "h1"),
    ],
    "idle": [
        ("nginx", "h1"), ("nginx", "tls"), ("haproxy", "h1"), ("haproxy", "tls"),
        ("envoy", "h1"), ("envoy", "tls"), ("signed-in", "h1"), ("tls", "tls"),
    ],
}


def memory(lineup):
    """Of everybody, after all that load."""
    return {
        key: resident_kib(peer.process) for key, peer in lineup.peers.items() if key != "direct"
    }


def _look(name, lineup, key, way):
    if name == "syscalls":
        lineup.start([key])
    else:
        # Nothing that an earlier load left behind, nobody else beside it.
        lineup.renew()
        lineup.start([key], instructions.tool(lineup.folder) if name == "instructions" else ())
    peer = lineup.get(key)
    if not peer:
        raise Failed(lineup.left_out[key])
    if name == "syscalls":
        return syscalls.measure(peer, way, lineup.folder, lineup.beside)
    if name == "instructions":
        return instructions.measure(peer, way, lineup.folder, lineup.beside)
    return idle.measure(peer, way)


def look(name, lineup, wanted, results):
    """All of one kind, of the peers that are wanted."""
    for key, way in LOOKS[name]:
        if key in lineup.left_out or (wanted and key not in wanted):
            continue
        try:
            seen = _look(name, lineup, key, way)
        except Failed as failure:
            results.fail(f"{name}, {key}: {failure}")
            say(f"  {name} {key} {way} FAILED: {failure}")
            continue
        results.data["once"].setdefault(name, {})[f"{key}/{way}"] = seen
        results.write()
        say(f"  {name} {key} {way}: {seen}")
