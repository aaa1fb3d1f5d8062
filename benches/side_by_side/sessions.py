"""Many sessions at once: what each costs when it is read from Redis, and when
it is known."""

from . import load
from .accounting import resident_kib
from .process import Failed, output, say

COUNT = 100_000
# Of these, so many that all of them find room in the gateway.
KNOWN = 40_000

# Each request another cookie, beginning at a place; the rest of the request
# is one piece of text.
SCRIPT = """
local cookies, at = {{}}, {first}
for line in io.lines("{cookies}") do cookies[#cookies + 1] = line end
local head, tail = {head}, {tail}
function request()
    local cookie = cookies[at % #cookies + 1]
    at = at + 1
    return head .. cookie .. tail
end
"""


def _text(words):
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"').replace("\r\n", "\\r\\n") + '"'


def _script(peer, place, cookies, first):
    headers = peer.headers("h1")
    del headers["Cookie"]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"GET /x HTTP/1.1\r\n{lines}Cookie: theme=dark; "
    return place.write(f"sessions-{first}.lua", SCRIPT.format(
        first=first, cookies=cookies, head=_text(head), tail=_text("; lang=en\r\n\r\n"),
    ))


def measure(lineup, planter, seconds, count=COUNT):
    lineup.renew()
    lineup.start(["redis"])
    peer = lineup.get("redis")
    if not peer:
        raise Failed(lineup.left_out["redis"])
    cookies, few = f"{lineup.folder}/cookies.txt", f"{lineup.folder}/cookies-known.txt"

    def run(script=None, length=seconds):
        sample = load.measure(
            peer, lineup.upstream,
            lambda: load.closed_loop(peer, "h1", "/x", length, lineup.beside, script),
        )
        peer.process.empty_log()
        return sample

    one = run()
    stored, held = peer.helper.memory(), resident_kib(peer.process)
    say(f"  planting {count} sessions")
    command = [planter, peer.gateway.neighbour(), lineup.provider.issuer, str(count)]
    planted = [
        line for line in output(command, seconds=900).splitlines() if line.startswith("vestibule=")
    ]
    for name, lines in ((cookies, planted), (few, planted[:KNOWN])):
        with open(name, "w") as file:
            file.write("\n".join(lines) + "\n")
    stored = peer.helper.memory() - stored
    first = run(_script(peer, lineup.place, cookies, 0))
    if first.requests > count:
        raise Failed(f"{count} sessions are too few for {seconds} s of first requests")
    seen = first.requests
    while seen < count:
        seen += run(_script(peer, lineup.place, cookies, seen), 3).requests
    held = resident_kib(peer.process) - held
    entries = peer.gateway.metric("vestibule_session_cache_entries")
    again = run(_script(peer, lineup.place, cookies, 0))
    passed = 0
    while passed < 2 * KNOWN:
        passed += run(_script(peer, lineup.place, few, passed), 3).requests
    known = run(_script(peer, lineup.place, few, passed))
    if known.redis_commands > 0.01:
        raise Failed(f"{known.redis_commands} commands per request of {KNOWN} sessions that should be known")
    return {
        "count": count, "held": entries, "known_count": KNOWN,
        "one": vars(one), "first": vars(first), "again": vars(again), "known": vars(known),
        "redis_bytes_each": round(stored / count),
        "held_bytes_each": round(held * 1024 / entries),
    }
