"""One HTML page that loads nothing from elsewhere, everything in it escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


def rendered(template: str, styles: tuple[str, ...], script: str = "", **values: Any) -> str:
    """A page out of a template of this package.

    Parameters
    ----------
    template : str
        Its file in ``templates``.
    styles : tuple of str
        Style sheets there, which the page holds in this order.  Its policy allows these, `script`, ``data:`` images,
        and nothing that a caption might smuggle in.
    script : str
        A script there; none if left out.
    **values
        What the template names besides ``style`` and ``style_digest``, ``script`` and ``script_digest``.
    """
    style = "\n".join(_source(name) for name in styles)
    code = _source(script) if script else ""
    values |= {"style": style, "style_digest": _digest(style), "script": code, "script_digest": _digest(code)}
    return _environment().get_template(template).render(values)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    """Templates are compiled once; a page is made several times until it fits."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dedupkit.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = "{:,}".format
    environment.filters["share"] = _share
    environment.filters["short"] = _short
    return environment


def _source(name: str) -> str:
    return resources.files("dedupkit.report").joinpath("templates", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _share(count: int, total: int) -> str:
    percent = 100 * count / total if total else 0.0
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.9 < percent < 100 else f"{percent:.1f} %"


def _short(text: str, most: int = 200) -> str:
    """Text of which the page itself shows no more than this anyway."""
    return text if len(text) <= most else text[: most - 1] + "…"
