"""One HTML page that loads nothing from elsewhere, everything in it escaped."""

from __future__ import annotations

import base64
import hashlib
from typing import Any


def rendered(template: str, styles: tuple[str, ...], **values: Any) -> str:
    """A page out of a template of this package.

    Parameters
    ----------
    template : str
        Its file in ``templates``.
    styles : tuple of str
        Style sheets there, which the page holds in this order.  Its policy allows these, ``data:`` images, and nothing
        that a caption might smuggle in.
    **values
        What the template names besides ``style`` and ``style_digest``.
    """
    import jinja2

    loader = jinja2.PackageLoader("dedupkit.report")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["number"] = "{:,}".format
    environment.filters["share"] = _share
    style = "\n".join(loader.get_source(environment, name)[0] for name in styles)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template(template).render(style=style, style_digest=digest, **values)


def _share(count: int, total: int) -> str:
    percent = 100 * count / total if total else 0.0
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.9 < percent < 100 else f"{percent:.1f} %"
