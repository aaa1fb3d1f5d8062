"""What the gateway has set itself, and what came out."""

from .report import number, table


def _times_cheaper(results, ours, theirs):
    ratio = results.ratio("h1-1k", ours, theirs)
    return ratio and 1 / ratio


def _once(results, name, key, field):
    return results.data["once"].get(name, {}).get(key, {}).get(field)


def _thousand(value):
    return value and value / 1000


def _times_cheaper_spread(results, ours, theirs):
    spread = results.spread("h1-1k", ours, theirs)
    return spread and (1 / spread[1], 1 / spread[0])


def spreads(results):
    """By what `measured` calls it: the least and the greatest of the rounds."""
    spread = results.spread
    return {
        "HTTP/1.1, 1 KiB: CPU time ÷ bare nginx": spread("h1-1k", "signed-in", "nginx"),
        "TLS, HTTP/1.1, 1 KiB: CPU time ÷ nginx with TLS": spread("tls-1k", "tls", "nginx"),
        "64 KiB: CPU time ÷ bare HAProxy": spread("h1-64k", "signed-in", "haproxy"),
        "64 KiB: CPU time ÷ bare nginx": spread("h1-64k", "signed-in", "nginx"),
        "HTTP/2: CPU time ÷ nginx": spread("h2-1k", "tls", "nginx"),
        "cheaper than Envoy with OAuth2": _times_cheaper_spread(results, "signed-in", "envoy-oauth2"),
        "cheaper than mod_auth_openidc, both with Redis": _times_cheaper_spread(results, "redis", "apache-redis"),
    }


def measured(results):
    """(what, must, aim, unit, whether less is better, value)"""
    ratio = results.ratio
    return [
        ("HTTP/1.1, 1 KiB: CPU time ÷ bare nginx", 1.25, 1.0, "", True, ratio("h1-1k", "signed-in", "nginx")),
        ("TLS, HTTP/1.1, 1 KiB: CPU time ÷ nginx with TLS", 1.0, 0.85, "", True, ratio("tls-1k", "tls", "nginx")),
        ("64 KiB: CPU time ÷ bare HAProxy", 1.0, None, "", True, ratio("h1-64k", "signed-in", "haproxy")),
        ("64 KiB: CPU time ÷ bare nginx", None, 0.6, "", True, ratio("h1-64k", "signed-in", "nginx")),
        ("HTTP/2: CPU time ÷ nginx", 1.25, 1.0, "", True, ratio("h2-1k", "tls", "nginx")),
        ("cheaper than Envoy with OAuth2", 4.5, 6, "×", False, _times_cheaper(results, "signed-in", "envoy-oauth2")),
        ("cheaper than mod_auth_openidc, both with Redis", 18, 24, "×", False,
         _times_cheaper(results, "redis", "apache-redis")),
        ("user instructions per request, signed in", 44, 38, "k", True,
         _thousand(_once(results, "instructions", "signed-in/h1", "per_request"))),
        ("commands to the store per request of a known session", 0.0, 0.0, "", True,
         results.median("h1-1k", "redis", "redis_commands")),
        ("idle connection, plaintext", 20, 4, " KiB", True, _once(results, "idle", "signed-in/h1", "each_kib")),
        ("idle connection, TLS", 30, 12, " KiB", True, _once(results, "idle", "tls/tls", "each_kib")),
    ]


def verdict(value, must, aim, less):
    """A hundredth is not what noise of a round lets anybody promise."""
    def holds(limit):
        return limit is not None and (round(value, 2) <= limit if less else round(value, 2) >= limit)

    if value is None:
        return "not measured"
    if holds(aim):
        return "met, with the aim"
    if must is None:
        return "aim missed"
    return "met" if holds(must) else "**missed**"


def targets(results):
    rows, rounds = [], spreads(results)
    for what, must, aim, unit, less, value in measured(results):
        sign = "≤" if less else "≥"
        digits = 1 if unit in (" KiB", "k", "×") else 2
        rows.append([
            what,
            "–" if must is None else f"{sign} {must}{unit}",
            "–" if aim is None else f"{sign} {aim}{unit}",
            number(value, digits) + (unit if value is not None else ""),
            " to ".join(number(end, digits) for end in rounds.get(what) or ()) or "–",
            verdict(value, must, aim, less),
        ])
    return table(["", "must", "aim", "measured", "of single rounds", ""], rows)
