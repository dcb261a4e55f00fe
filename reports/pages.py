"""How every page is made: one frame of templates, its style and scripts inside it and allowed by their hashes, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

STYLES = ("report.css", "leaderboard.css")
"""The style of the pages beside a report: the report's, and what tables of many columns need."""


def render_text(
    template: str, *, styles: tuple[str, ...] = STYLES, scripts: tuple[str, ...] = (), connect: bool = False, **values: Any
) -> tuple[str, str]:
    """Return a page and its content security policy, which forbids every script and style but the page's own.

    Args:
        template: name of the template; it places `policy`, `css`, `theme_script` and `script`.
        styles: names of the style sheets, in order.
        scripts: names of the scripts beside the theme's; they become one, in order.
        connect: whether the page may ask its own server (`uniar-eval serve`).
        values: what the template shows.
    """
    css = "\n".join(_asset(name) for name in styles)
    theme, script = _asset("theme.js"), "\n".join(_asset(name) for name in scripts)
    policy = _policy(css, (theme, script) if script else (theme,), connect)
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = {"css": Markup(css), "theme_script": Markup(theme), "script": Markup(script), "policy": Markup(policy)}
    return environment.get_template(template).render(own, **values), policy


def render_page(template: str, *, styles: tuple[str, ...] = STYLES, scripts: tuple[str, ...] = (), **values: Any) -> bytes:
    """Return a page as bytes; a lone surrogate has no UTF-8 form and becomes a question mark."""
    return render_text(template, styles=styles, scripts=scripts, **values)[0].encode("utf-8", "replace")


def embed_json(data: object) -> Markup:
    """JSON that is inert inside `<script type="application/json">`: no `<`, `>` or `&` is left in it.

    >>> embed_json("</script>")
    Markup('"\\\\u003c/script\\\\u003e"')
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)


def _policy(css: str, scripts: tuple[str, ...], connect: bool) -> str:
    hashes = " ".join(f"'{_hash(text)}'" for text in scripts)
    ask = " connect-src 'self';" if connect else ""
    return (
        f"default-src 'none'; img-src 'self' file: data:; style-src '{_hash(css)}'; script-src {hashes};{ask} "
        "base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (Path(__file__).parent / "assets" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"
