"""The picture for the README: CPU time per request as bars, readable on light
and on dark."""

from html import escape

from .lineup import NAMES

SHOWN = (
    "nginx", "haproxy", "signed-in", "redis", "envoy", "envoy-oauth2", "apache-shm", "apache-redis",
    "oauth2-proxy",
)
OURS = ("signed-in", "redis")
WIDTH, LEFT, ROW, TOP = 780, 312, 30, 84
BAR = 18
ROOM_FOR_VALUE = 84

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.quiet { fill: #57606a; font-size: 12px }
.ours-name { font-weight: 600 }
.bar { fill: #afb8c1 }
.ours { fill: #0969da }
.axis { stroke: #d0d7de }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .quiet { fill: #9198a1 }
  .bar { fill: #57606a }
  .ours { fill: #4493f8 }
  .axis { stroke: #3d444d }
}
"""


def svg(results):
    """Nothing if nobody was measured."""
    values = [(key, results.median("h1-1k", key)) for key in SHOWN]
    values = [(key, value) for key, value in values if value is not None]
    if not values:
        return None
    most = max(value for _, value in values)
    scale = (WIDTH - LEFT - ROOM_FOR_VALUE) / most
    height = TOP + ROW * len(values) + 14
    title = "What a proxied request costs: CPU time, microseconds"
    spoken = "; ".join(f"{_name(key)} {value:.1f}" for key, value in values)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-labelledby="title what">',
        f'<title id="title">{title}</title><desc id="what">{escape(spoken)}</desc>',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="20">{title}</text>',
        '<text class="quiet" x="0" y="42">HTTP/1.1, 1 KiB, 32 connections, one worker each, median of all rounds.</text>',
        '<text class="quiet" x="0" y="60">Who is bare lets everybody pass; all others check who is signed in.</text>',
    ]
    for at, (key, value) in enumerate(values):
        middle = TOP + ROW * at + ROW / 2
        ours = key in OURS
        weight = ' class="ours-name"' if ours else ""
        wide = max(1.0, value * scale)
        lines.append(
            f'<text x="{LEFT - 12}" y="{middle + 4.5}" text-anchor="end"'
            f'{weight}>{escape(_name(key))}</text>'
            f'<rect class="bar{" ours" if ours else ""}" x="{LEFT}" y="{middle - BAR / 2}" '
            f'width="{wide:.1f}" height="{BAR}" rx="2"/>'
            f'<text x="{LEFT + wide + 8:.1f}" y="{middle + 4.5}"'
            f'{weight}>{value:.1f}</text>'
        )
    lines.append(
        f'<line class="axis" x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{TOP + ROW * len(values)}"/></svg>'
    )
    return "\n".join(lines) + "\n"


def _name(key):
    return NAMES[key].replace("**", "")
