"""Pages beside a run's report: one frame, one style, scripts allowed by their hashes, nothing from outside."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from reports import render


def style() -> str:
    """Return the style of these pages: the report's, and what tables of many columns need."""
    return f"{render._asset('report.css')}\n{render._asset('leaderboard.css')}"


def policy(css: str, scripts: tuple[str, ...], *, connect: bool = False) -> str:
    """Return the content security policy that allows exactly this style and these scripts.

    Args:
        css: the style's text.
        scripts: texts of the scripts.
        connect: whether the page may ask its own server (`uniar-eval serve`).
    """
    hashes = " ".join(f"'{render._hash(text)}'" for text in scripts) or "'none'"
    ask = " connect-src 'self';" if connect else ""
    return (
        f"default-src 'none'; img-src 'self' file: data:; style-src '{render._hash(css)}'; script-src {hashes};{ask} "
        "base-uri 'none'; form-action 'none'"
    )


def render_text(template: str, *, scripts: tuple[str, ...] = (), connect: bool = False, **values: Any) -> tuple[str, str]:
    """Return a page and its content security policy."""
    css, theme = style(), render._asset("theme.js")
    texts = (theme, *(render._asset(name) for name in scripts))
    rule = policy(css, texts, connect=connect)
    page = (
        render._environment()
        .get_template(template)
        .render(css=Markup(css), theme_script=Markup(theme), scripts=[Markup(text) for text in texts[1:]], policy=Markup(rule), **values)
    )
    return page, rule


def render_page(template: str, *, scripts: tuple[str, ...] = (), **values: Any) -> bytes:
    """Return a page as bytes; a lone surrogate has no UTF-8 form and becomes a question mark."""
    return render_text(template, scripts=scripts, **values)[0].encode("utf-8", "replace")
