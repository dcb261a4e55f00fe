"""A judge behind any OpenAI-compatible `/v1/chat/completions` endpoint: OpenAI, vLLM, transformers serve, a router.

Owns the network: the key, the pace, the retries. What a response means is in `chat.py`, when to send in `pace.py`,
what is kept in `kept.py`. A key is read from the environment, sent in one header and shown nowhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from evals.errors import ModelError, PluginError
from evals.judges import chat, pictures
from evals.judges.canary import check_sight
from evals.judges.pace import Pace, backoff, retry_after
from evals.protocols import Reply
from evals.types import Outcome

if TYPE_CHECKING:
    from PIL import Image

BASE_URL = "https://api.openai.com/v1"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_WAIT = 300.0
"""Seconds; a server that asks for more (a quota a day) is not waited for."""
_LARGEST_BODY = 16 * 2**20
_RESERVED = ("model", "messages", "stream", "n", "temperature", "top_p", "seed", "max_tokens", "max_completion_tokens")


class OpenAIJudge:
    """Ask a model over HTTP; several threads may ask at once."""

    name = "openai"

    def __init__(
        self,
        *,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        max_tokens: int | None = None,
        max_tokens_key: str = "max_tokens",
        extra: dict[str, Any] | None = None,
        image_format: str = "png",
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        timeout: float = 120.0,
        retries: int = 5,
        backoff: float = 1.0,
        prompt_price: float | None = None,
        completion_price: float | None = None,
        canary: bool = True,
    ) -> None:
        """Check the settings; nothing is opened and no key is read before the first question.

        Args:
            model: name that the server knows.
            base_url: address up to and with `/v1`; None takes the variable OPENAI_BASE_URL, else OpenAI's own.
            api_key_env: environment variable that holds the key; None: the server needs none.
            temperature: not sent when None, as `top_p`, `seed`, `max_tokens`: the server's default holds.
            top_p: nucleus of the draws.
            seed: of the draws; the number of a repeated try is added.
            max_tokens: longest reply, unless the scorer asks for another.
            max_tokens_key: `max_tokens`, or `max_completion_tokens` for models that want that name.
            extra: more fields of the request (`reasoning_effort`, `chat_template_kwargs`).
            image_format: `png`, or `jpeg:QUALITY`; images are not resized.
            concurrency: requests at once.
            requests_per_minute: of all threads together.
            timeout: seconds for one whole response.
            retries: requests after the first, when one fails in a way that may pass.
            backoff: longest wait before the first retry, seconds; doubled each time, up to a minute.
            prompt_price: USD for a million prompt tokens; a cost is told when both prices are set.
            completion_price: USD for a million completion tokens.
            canary: show a red picture first and expect "red"; false for judges that do not chat.

        Raises:
            PluginError: a setting that cannot be.
        """
        self._base_url = base_url
        self._api_key_env = api_key_env
        self.model = model
        self.concurrency = concurrency
        self.wants_canary = canary
        # 0 and 0.0 are one setting and must be one identity.
        self._decoding = {"temperature": _float(temperature), "top_p": _float(top_p), "seed": seed, max_tokens_key: max_tokens}
        self._max_tokens_key = max_tokens_key
        self._extra = dict(extra or {})
        self._image_format = image_format
        self._timeout = timeout
        self._retries = retries
        self._backoff = backoff
        self._prices = None if prompt_price is None or completion_price is None else (prompt_price, completion_price)
        self._check(requests_per_minute, (prompt_price, completion_price))
        self._pace = Pace(requests_per_minute)
        self._slots = threading.BoundedSemaphore(concurrency)
        self._lock = threading.Lock()
        self._client: Any = None

    def identity(self) -> dict[str, Any]:
        """Return model, decoding settings and image format: what decides a reply beside the question and the images."""
        return {
            "judge": self.name,
            "model": self.model,
            **{name: value for name, value in self._decoding.items() if value is not None},
            **({"extra": self._extra} if self._extra else {}),
            "image_format": self._image_format,
        }

    def canary(self, ask: Callable[..., Reply] | None = None) -> None:
        """Check the key, then (unless `canary: false`) that the judge sees.

        Args:
            ask: asks in this judge's stead, to keep the reply; None asks directly.

        Raises:
            ModelError: no key, or no question can be answered.
            CanaryError: the judge does not see.
        """
        self._key()
        if self.wants_canary:
            check_sight(ask or self.ask, judge=self.name, model=self.model)

    def ask(
        self,
        question: str,
        images: Sequence[Image.Image] = (),
        *,
        system: str | None = None,
        max_tokens: int | None = None,
        images_first: bool = False,
        attempt: int = 0,
    ) -> Reply:
        """Ask once; wait, and send again what failed in a way that may pass.

        A reply cut at its longest is `ok` with its text; `error` then notes the cut.

        Raises:
            ModelError: no key, a key that the server does not take, no such model, no credit.
        """
        settings = {**self._decoding}
        if max_tokens is not None:
            settings[self._max_tokens_key] = max_tokens
        if settings["seed"] is not None:
            settings["seed"] += attempt
        request = chat.body(
            question,
            [pictures.data_url(image, self._image_format) for image in images],
            model=self.model,
            system=system,
            images_first=images_first,
            settings={**settings, **self._extra},
        )
        content = json.dumps(request).encode("ascii")
        key = f"{hashlib.sha256(content).hexdigest()}:{attempt}"
        with self._slots:
            started = time.perf_counter()
            reply = self._send_until_answered(content, key)
            return replace(reply, seconds=round(time.perf_counter() - started, 3))

    def close(self) -> None:
        """Close the connections; the next question opens them again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _send_until_answered(self, content: bytes, key: str) -> Reply:
        for sent in range(1, self._retries + 2):
            self._pace.enter()
            reading, asked = self._send(content)
            if reading.kind is chat.Kind.FATAL:
                raise self._fatal(reading)
            if reading.kind is not chat.Kind.AGAIN:
                return self._reply(reading, sent)
            last = self._hidden(reading.error)
            if asked is not None and asked > _LONGEST_WAIT:
                return _failed(f"the server asks to wait {asked:.0f} s ({last})", sent)
            if asked is not None:
                self._pace.hold(asked)
            if sent <= self._retries:
                # After a pause that the server named, the jitter alone spreads the threads that it let go together.
                wait = backoff(key, sent - 1, first=self._backoff)
                self._pace.sleep(wait if asked is None else asked + min(wait, self._backoff))
        return _failed(
            f"no usable reply after {self._retries + 1} request{'s' if self._retries else ''}; the last: {last}", self._retries + 1
        )

    def _send(self, content: bytes) -> tuple[chat.Reading, float | None]:
        """One request -> what came of it, and the seconds that the server asks to wait."""
        import httpx2 as httpx

        headers = {"Content-Type": "application/json"}
        key = self._key()
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        end = time.monotonic() + self._timeout
        body = bytearray()
        try:
            with self._http().stream("POST", f"{self._address()}/chat/completions", content=content, headers=headers) as response:
                for part in response.iter_bytes():
                    body += part
                    # httpx limits each read; a server that sends a byte a second would keep a thread for ever.
                    if time.monotonic() > end:
                        raise httpx.ReadTimeout("the whole response took too long")
                    if len(body) > _LARGEST_BODY:
                        raise httpx.DecodingError(f"a body of more than {_LARGEST_BODY} bytes")
                reading, asked = chat.read(response.status_code, bytes(body)), None
                if reading.kind is chat.Kind.AGAIN:
                    asked = retry_after(response.headers)
                return reading, asked
        except httpx.TimeoutException:
            return chat.Reading(kind=chat.Kind.AGAIN, error=f"no whole response within {self._timeout:g} s"), None
        except httpx.RequestError as error:
            told = " ".join(str(error).split())
            return chat.Reading(kind=chat.Kind.AGAIN, error=f"{type(error).__name__}{f': {told}' if told else ''}"), None

    def _reply(self, reading: chat.Reading, sent: int) -> Reply:
        outcome = {chat.Kind.ANSWER: Outcome.OK, chat.Kind.REFUSED: Outcome.REFUSED}.get(reading.kind, Outcome.JUDGE_ERROR)
        tokens = (reading.prompt_tokens, reading.completion_tokens)
        cost = None
        if self._prices and None not in tokens:
            cost = sum(count * price for count, price in zip(tokens, self._prices, strict=True)) / 1e6
        return Reply(
            text=reading.text,
            outcome=outcome,
            error=f"judge {self.name}: {self._hidden(reading.error)}." if reading.error else "",
            version=reading.version,
            prompt_tokens=reading.prompt_tokens,
            completion_tokens=reading.completion_tokens,
            cost=cost,
            attempts=sent,
        )

    def _fatal(self, reading: chat.Reading) -> ModelError:
        told = self._hidden(reading.error)
        status = told.split(",")[0]
        if reading.code in ("insufficientquota", "billinghardlimitreached", "billingnotactive") or status == "status 402":
            return ModelError(
                f"judge {self.name}: got {told}; expected an account with credit. Top it up and type the same command again: "
                "what was answered is kept."
            )
        if reading.code == "modelnotfound" or status == "status 404":
            return ModelError(
                f'judge {self.name}: model: got "{self.model}" and from the server {told}; expected a model that it serves. '
                "Check model and base_url (with its /v1)."
            )
        if status.startswith("status 3"):
            return ModelError(
                f"judge {self.name}: base_url: got a redirection ({status}); expected the server itself. Give its final address."
            )
        if self._api_key_env is None:
            return ModelError(
                f"judge {self.name}: api_key_env: got null, and from the server {status}; expected a server that needs no key. "
                "Name the environment variable that holds the key."
            )
        # The server's words after a 401 often quote a part of the key.
        shown = status if status == "status 401" or reading.code == "invalidapikey" else told
        return ModelError(
            f"judge {self.name}: api_key_env: the server does not take the key in {self._api_key_env} ({shown}); expected one "
            f'that may use "{self.model}". Set the variable anew.'
        )

    def _key(self) -> str | None:
        if self._api_key_env is None:
            return None
        key = os.environ.get(self._api_key_env, "").strip()
        if not key:
            raise ModelError(
                f"judge {self.name}: api_key_env: got no {self._api_key_env} in the environment; expected the server's key. "
                f"Type `export {self._api_key_env}=...`, set api_key_env: null for a server without keys, or use --role judge=replay."
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ModelError(
                f"judge {self.name}: api_key_env: got a key in {self._api_key_env} with blanks, control or foreign characters; "
                "expected printable ASCII. Set the variable anew."
            )
        return key

    def _hidden(self, text: str) -> str:
        key = os.environ.get(self._api_key_env, "").strip() if self._api_key_env else ""
        return text.replace(key, "[key]") if key else text

    def _address(self) -> str:
        return _checked_url(self._base_url or os.environ.get("OPENAI_BASE_URL") or BASE_URL)

    def _http(self) -> Any:
        import httpx2 as httpx

        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, 30.0)),
                    limits=httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency),
                )
                # A judge lives as long as a run; nobody has to remember to close it.
                weakref.finalize(self, self._client.close)
            return self._client

    def _check(self, rate: float | None, prices: tuple[float | None, ...]) -> None:
        def wrong(key: str, got: object, expected: str) -> PluginError:
            return PluginError(f"judge {self.name}: {key}: got {got}; expected {expected}.")

        pictures.check_format(self._image_format, judge=self.name)
        if self._base_url is not None:
            _checked_url(self._base_url)
        # Not shown: it may be the key itself.
        if self._api_key_env is not None and not _VARIABLE.fullmatch(self._api_key_env):
            raise wrong("api_key_env", "what is no name of a variable", "the name of the environment variable that holds the key")
        if self._max_tokens_key not in ("max_tokens", "max_completion_tokens"):
            raise wrong("max_tokens_key", f'"{self._max_tokens_key}"', "max_tokens or max_completion_tokens")
        taken = sorted(set(self._extra) & set(_RESERVED))
        if taken:
            raise wrong("extra", f'"{taken[0]}"', "fields that are no settings of their own")
        least = {"concurrency": (self.concurrency, 1), "retries": (self._retries, 0), "backoff": (self._backoff, 0)}
        for key, (value, low) in least.items():
            if value < low:
                raise wrong(key, value, f"at least {low}")
        positive = {"timeout": self._timeout, "requests_per_minute": rate, "max_tokens": self._decoding[self._max_tokens_key]}
        for key, number in positive.items():
            if number is not None and not number > 0:
                raise wrong(key, number, "more than 0")
        for key, number in zip(("prompt_price", "completion_price"), prices, strict=True):
            if number is not None and not number >= 0:
                raise wrong(key, number, "at least 0")


def _checked_url(url: str) -> str:
    """Return an address without a final slash.

    Raises:
        PluginError: no http address, or one that holds more than host and path: it would be written with the run.
    """
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if any(mark in url for mark in "@?#"):
        raise PluginError(
            "judge openai: base_url: got an address with a name, a password or a query; expected host and path alone. Use api_key_env."
        )
    if not whole:
        raise PluginError(f'judge openai: base_url: got "{url}"; expected an address such as http://localhost:8000/v1.')
    return url.rstrip("/")


def _failed(error: str, sent: int) -> Reply:
    return Reply(outcome=Outcome.JUDGE_ERROR, error=f"judge openai: {error}.", attempts=sent)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
