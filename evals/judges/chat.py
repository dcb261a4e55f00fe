"""The chat-completions format: what is sent, and what a response means. Pure: opens nothing and waits for nothing.

Source: the OpenAI API reference (chat completions, error codes); vLLM, transformers serve, Azure, OpenRouter and
DashScope where they differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

_FILTER = {"contentfilter", "contentpolicyviolation", "responsibleaipolicyviolation", "moderationblocked", "datainspectionfailed"}
_EVERY_QUESTION = {
    "modelnotfound", "invalidapikey", "insufficientquota", "billinghardlimitreached", "billingnotactive",
    "accountdeactivated", "unsupportedcountryregionterritory",
}  # fmt: skip
_AGAIN = {408, 425, 429}


class Kind(Enum):
    """What is to be done about a response."""

    ANSWER = "answer"
    REFUSED = "refused"
    """The judge or its filter declined."""
    FAILED = "failed"
    """This question cannot be answered; asking again would not help."""
    AGAIN = "again"
    """Worth another request."""
    FATAL = "fatal"
    """No question can be answered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A response, understood."""

    kind: Kind
    text: str | None = None
    error: str = ""
    """What went wrong in the server's words or ours, without a final dot; or a note on an answer."""
    version: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    code: str = ""
    """The error's code, letters and digits only, lower case."""


def body(
    question: str,
    image_urls: Sequence[str],
    *,
    model: str,
    system: str | None,
    images_first: bool,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the request.

    Args:
        question: the text, verbatim.
        image_urls: `data:` URLs, in order.
        model: as the server knows it.
        system: system message.
        images_first: images before the text.
        settings: decoding settings by the API's names; one that is None is not sent, the server's default holds.
    """
    text = {"type": "text", "text": question}
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in image_urls]
    # Servers for text alone read only the plain form.
    content: Any = question if not pictures else [*pictures, text] if images_first else [text, *pictures]
    messages = [] if system is None else [{"role": "system", "content": system}]
    messages.append({"role": "user", "content": content})
    return {"model": model, "messages": messages, **{name: value for name, value in settings.items() if value is not None}}


def read(status: int, content: bytes) -> Reading:
    """Return what a whole response means.

    Args:
        status: of HTTP.
        content: the body, decoded from its transfer.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        data = None
    good = 200 <= status < 300
    if isinstance(data, dict) and good and data.get("error"):
        # Some routers answer 200 and put the real status into the body.
        error = data["error"]
        inner = error.get("code") if isinstance(error, dict) else None
        return _error(inner if type(inner) is int and 400 <= inner < 600 else 502, data)
    if good:
        return _answer(data) if isinstance(data, dict) else _broken("a body that is not JSON, or half of one")
    return _error(status, data)


def _answer(data: dict[str, Any]) -> Reading:
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return _broken("a body without a message")
    usage = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    facts: dict[str, Any] = {
        "version": " ".join(part for part in (data.get("model"), data.get("system_fingerprint")) if isinstance(part, str) and part),
        "prompt_tokens": _count(usage, "prompt_tokens"),
        "completion_tokens": _count(usage, "completion_tokens"),
    }
    finish, text, refusal = choice.get("finish_reason"), _text(message.get("content")), message.get("refusal")
    if isinstance(refusal, str) and refusal.strip():
        return Reading(kind=Kind.REFUSED, text=text, error=f'the judge declined: "{_short(refusal)}"', **facts)
    if finish == "content_filter":
        return Reading(kind=Kind.REFUSED, text=text, error="the judge's content filter stopped the reply", **facts)
    cut = finish == "length"
    if text is None or (cut and not text.strip()):
        why = "it reached max_tokens before its first word; raise max_tokens" if cut else f"finish_reason {finish!r}"
        return Reading(kind=Kind.FAILED, error=f"the reply has no text ({why})", **facts)
    return Reading(kind=Kind.ANSWER, text=text, error="the reply was cut at max_tokens" if cut else "", **facts)


def _error(status: int, data: Any) -> Reading:
    code, message = _told(data)
    error = f"status {status}{f', {message}' if message else ''}"
    if code in _FILTER or _flagged(data):
        return Reading(kind=Kind.REFUSED, error=f"the content filter of the judge's server declined ({error})", code=code)
    if code in _EVERY_QUESTION or status in (401, 402, 403, 404) or 300 <= status < 400:
        return Reading(kind=Kind.FATAL, error=error, code=code)
    return Reading(kind=Kind.AGAIN if status in _AGAIN or status >= 500 else Kind.FAILED, error=error, code=code)


def _told(data: Any) -> tuple[str, str]:
    """Return (code, message) of an error body; both may be empty."""
    if not isinstance(data, dict):
        return "", ""
    error = data.get("error", data)
    if not isinstance(error, dict):
        return "", _short(error)
    inner = error.get("innererror") if isinstance(error.get("innererror"), dict) else {}
    codes = [_plain(value) for value in (error.get("code"), inner.get("code"), error.get("type")) if isinstance(value, str)]
    known = next((code for code in codes if code in _FILTER | _EVERY_QUESTION), codes[0] if codes else "")
    message = next((error[name] for name in ("message", "detail", "error") if error.get(name)), "")
    return known, _short(message)


def _flagged(data: Any) -> bool:
    """OpenRouter tells a moderation's verdict as 403 with `metadata.flagged_input`."""
    error = data.get("error") if isinstance(data, dict) else None
    metadata = error.get("metadata") if isinstance(error, dict) else None
    return isinstance(metadata, dict) and "flagged_input" in metadata


def _text(content: Any) -> str | None:
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(part for part in parts if isinstance(part, str)) if parts else None
    return content if isinstance(content, str) else None


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if type(value) is int and value >= 0 else None


def _broken(what: str) -> Reading:
    return Reading(kind=Kind.AGAIN, error=f"status 200 with {what}")


def _plain(code: str) -> str:
    return "".join(letter for letter in code.lower() if letter.isalnum())


def _short(message: Any) -> str:
    text = " ".join((message if isinstance(message, str) else json.dumps(message)).split()).rstrip(".")
    return text if len(text) <= 240 else f"{text[:239]}…"
