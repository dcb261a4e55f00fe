"""Text for a page: what a run holds, made visible and harmless, and names as words."""

from __future__ import annotations

from collections.abc import Mapping

MAX_TEXT = 20_000
"""Characters of a prompt, reason or answer in the page."""

_INVISIBLE = {*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF}
_INVISIBLE |= {*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)}
_VISIBLE = {code: f"\u27e6U+{code:04X}\u27e7" for code in _INVISIBLE - {0x09, 0x0A, 0x0D}}


def visible(text: object, limit: int = MAX_TEXT) -> str:
    """Return text in which control and direction-override characters can be seen and do nothing.

    >>> visible("red\u202eder")
    'red⟦U+202E⟧der'
    """
    string = str(text)
    if len(string) > limit:
        string = f"{string[:limit]} … ({len(string):,} characters in all)"
    return string.translate(_VISIBLE)


def coverage_text(coverage: float) -> str:
    """Percent with as many digits as keep an incomplete run from reading 100%."""
    if coverage >= 1.0:
        return "100%"
    return f"{min(coverage, 0.999) * 100:.1f}%"


def minus(number: str) -> str:
    """Return a number's text with a true minus sign, which is as wide as the plus sign.

    >>> minus("-0.5")
    '\u22120.5'
    """
    return number.replace("-", "\u2212")


def words(name: str) -> str:
    """`color_attr` -> `color attr`; `*` is the whole suite."""
    return "whole suite" if name == "*" else visible(name, 200).replace("_", " ")


def plain(value: object) -> str:
    """JSON data as one line of text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{visible(k, 200)}: {plain(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return "; ".join(plain(v) for v in value)
    if isinstance(value, float):
        return f"{value:,.6g}"
    return visible(value)
