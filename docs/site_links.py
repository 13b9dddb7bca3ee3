"""Whether all links and anchors of the built site lead somewhere inside it, and nothing is loaded from elsewhere.

    python docs/site_links.py site

The builder checks what stands in Markdown; this looks at what came out, pictures and generated pages included.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}


class Page(HTMLParser):
    """What a page names, loads and links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element says."""
        said = {name: value or "" for name, value in attrs}
        self.anchors |= {said[name] for name in ("id", "name") if name in said}
        target = said.get(_LOADED.get(tag, ""))
        if target and said.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.add(target)
        if tag == "a" and "href" in said:
            self.links.add(said["href"])


def faults(site: Path) -> list[str]:
    """Every link that leads nowhere, and everything that would come over the network."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        found += [f"{name} loads {target}" for target in sorted(page.loaded) if urlsplit(target).netloc]
        for target in sorted(page.links | page.loaded):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if file.is_dir():
                file = file / "index.html"
            if not file.is_file():
                found.append(f"{name}: no file for {target}")
            elif file in pages and unquote(parts.fragment) not in pages[file].anchors:
                found.append(f"{name}: no anchor for {target}")
    return found


if __name__ == "__main__":
    faulty = faults(Path(sys.argv[1]))
    print("\n".join(faulty) or "all links and anchors lead somewhere; nothing is loaded from elsewhere")
    sys.exit(bool(faulty))
