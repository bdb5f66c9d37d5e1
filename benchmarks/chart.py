# chart.py: GETs a second by contestant and number in flight, as an SVG that can be read on light and on dark ground.
import statistics

COLOURS = {"redis-benchmark": "#8c8c8c", "floor": "#5b9bd5", "Boost.Redis": "#d9803b", "luzia": "#3fa66b"}
BAR, GAP, GROUP_GAP, HEIGHT, LEFT, TOP = 34, 6, 44, 240, 56, 56

STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #444 }
.title { font-size: 15px; font-weight: 600 }
.value { font-size: 11px }
line { stroke: #8884 }
@media (prefers-color-scheme: dark) { text { fill: #ccc } }
</style>"""


def throughput(cases):
    depths = [depth for depth in (64, 256, 1024) if (f"get {depth} in flight", "op/s") in cases]
    names = [name for name in COLOURS if any(name in cases[f"get {depth} in flight", "op/s"] for depth in depths)]
    rates = {(depth, name): [value / 1e6 for value in cases[f"get {depth} in flight", "op/s"].get(name, [0])] for depth in depths for name in names}
    most = max((max(values) for values in rates.values()), default=1)
    top = next(limit for limit in (0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 50) if limit >= most)
    group = len(names) * (BAR + GAP) + GROUP_GAP
    width = LEFT + max(1, len(depths)) * group + 10

    def y(value):
        return TOP + HEIGHT - value / top * HEIGHT

    parts = [STYLE, f'<text class="title" x="{LEFT}" y="20">GETs of 100 bytes, millions a second: one connection, one client thread</text>']
    for i, name in enumerate(names):
        parts.append(f'<rect x="{LEFT + i * 120}" y="32" width="11" height="11" rx="2" fill="{COLOURS[name]}"/>'
                     f'<text x="{LEFT + i * 120 + 16}" y="42">{name}</text>')
    for step in range(5):
        value = top * step / 4
        parts.append(f'<line x1="{LEFT}" x2="{width - 10}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
                     f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for i, depth in enumerate(depths):
        left = LEFT + i * group + GROUP_GAP / 2
        for j, name in enumerate(names):
            values = rates[depth, name]
            median = statistics.median(values)
            x = left + j * (BAR + GAP)
            middle = x + BAR / 2
            parts.append(f'<rect x="{x:.1f}" y="{y(median):.1f}" width="{BAR}" height="{median / top * HEIGHT:.1f}" rx="2" fill="{COLOURS[name]}"/>'
                         f'<path d="M{middle} {y(max(values)):.1f}V{y(min(values)):.1f}" stroke="#888" stroke-width="1.5"/>'
                         f'<text class="value" x="{middle}" y="{y(max(values)) - 4:.1f}" text-anchor="middle">{median:.2f}</text>')
        parts.append(f'<text x="{left + (group - GROUP_GAP) / 2:.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{depth} in flight</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + HEIGHT + 34}" width="{width}" role="img">\n'
            + "\n".join(parts) + "\n</svg>\n")
