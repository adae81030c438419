"""The style sheet of the HTML report. Heat runs from red over yellow to green, with dark text on all of it."""


def _heat() -> str:
    """One class for each half point, h0 to h20; lightness keeps the contrast with the text above 4.5 to 1."""
    return "".join(f"td.h{step}{{background:hsl({6 * step} 62% {72 + abs(10 - step) // 2}%)}}" for step in range(21))


STYLE = (
    ":root{color-scheme:light dark;--ink:#1c1f24;--paper:#fff;--line:#c9ced6;--soft:#f3f5f8;--accent:#2457a7}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--paper:#15181c;--line:#3a414b;--soft:#1f242a;"
    "--accent:#8ab4f8}}"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0}"
    "main{max-width:76rem;margin:0 auto;padding:1.5rem}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}"
    "dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem}dt{font-weight:600}dd{margin:0}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "caption{text-align:left;padding:.2rem 0;opacity:.8}"
    "th,td{border:1px solid var(--line);padding:.25rem .5rem;text-align:right}"
    "th[scope=row]{text-align:left}thead th{background:var(--soft);font-weight:600}"
    "td.h a{color:#1c1f24;text-decoration:none;display:block}td.own,td.none{text-align:center;background:var(--soft)}"
    "abbr{text-decoration:none}"
    "pre,blockquote{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--soft);padding:.75rem;margin:.5rem 0;"
    "border-left:3px solid var(--line)}"
    "details{border-bottom:1px solid var(--line);padding:.3rem 0}summary{cursor:pointer}"
    "summary:focus-visible,a:focus-visible{outline:2px solid var(--accent)}details:target{background:var(--soft)}"
    "svg .axis{stroke:var(--line)}svg .interval{stroke:var(--accent);stroke-width:3}"
    "svg .corrected{fill:var(--accent)}svg .raw{fill:var(--paper);stroke:var(--ink)}"
    "@media print{details{break-inside:avoid}}" + _heat()
)
