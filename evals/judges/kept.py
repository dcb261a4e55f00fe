"""`LedgerJudge`: a judge with the ledger before it. Live, it asks only what the ledger lacks; replayed, it asks nobody."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.errors import StoreError
from evals.judges import pictures
from evals.judges.ledger import Entry, Ledger, address_of, digest
from evals.protocols import Judge, Reply
from evals.types import Outcome

if TYPE_CHECKING:
    from PIL import Image


class LedgerJudge:
    """A judge whose replies are kept; several threads may ask at once.

    Live: a request with an `ok` or `refused` reply in the ledger is answered by it; a failed one is asked again once a
    run, so that all who ask the same in one run get the same reply. Two threads that ask the same at once ask once.
    Replayed: only the ledger answers, and no method of the judge but `identity` is called; the last entry counts.

    Args:
        judge: the judge that is asked, or, replayed, the one that was.
        ledger: where replies are; None keeps them in memory until `attach`.
        replay: ask nobody.
    """

    def __init__(self, judge: Judge, *, ledger: Ledger | None = None, replay: bool = False) -> None:
        self.judge = judge
        self.replay = replay
        self.ledger = ledger if ledger is not None else Ledger(read_only=replay)
        self.name: str = judge.name
        self.concurrency: int = judge.concurrency
        self.from_ledger = 0
        """Questions that were answered without asking the judge."""
        self.asked = 0
        """Questions that the judge was asked, by this object."""
        self._identity = judge.identity()
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[Reply]] = {}
        self._failed: dict[str, Reply] = {}

    def identity(self) -> dict[str, Any]:
        """Return the judge's identity: a kept reply is the judge's own."""
        return self._identity

    def attach(self, path: str | Path) -> None:
        """Give the ledger its file: read it, and write the replies that came before (the canary's) into it.

        Raises:
            StoreError: see `Ledger.attach`.
        """
        self.ledger.attach(path)

    def totals(self) -> dict[str, Any]:
        """Return the ledger's totals: see `Ledger.totals`."""
        return self.ledger.totals()

    def canary(self) -> None:
        """Run the judge's self-check, live even when the ledger knows the question, its reply kept; nothing in a replay.

        Raises:
            CanaryError: the judge does not see.
            ModelError: no question can be answered.
        """
        check = getattr(self.judge, "canary", None)
        if self.replay or check is None:
            return
        if "ask" in inspect.signature(check).parameters:
            check(ask=self._ask_live)
        else:
            check()

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
        """Answer from the ledger, else ask the judge and keep the reply before it is used.

        A replay that finds nothing is a `judge_error` that says what differs from all that the ledger knows.

        Raises:
            ModelError: no question can be answered.
            StoreError: the reply cannot be kept, or a replay without a file.
        """
        settings = {"system": system, "max_tokens": max_tokens, "images_first": images_first, "attempt": attempt}
        request = self._request(question, images, **settings)
        key = digest(request)
        if self.replay:
            return self._replayed(key, request)
        with self._lock:
            found = self.ledger.settled(key) or self._failed.get(key)
            if found is not None:
                self.from_ledger += 1
                return found
            waiting = self._under_way.get(key)
            if waiting is None:
                mine = self._under_way[key] = Future()
            else:
                self.from_ledger += 1
        if waiting is not None:
            return waiting.result()
        try:
            reply = self._keep(key, request, self.judge.ask(question, images, **settings))
        except BaseException as error:
            with self._lock:
                del self._under_way[key]
            mine.set_exception(error)
            raise
        with self._lock:
            if self.ledger.settled(key) is None:
                self._failed[key] = reply
            del self._under_way[key]
        mine.set_result(reply)
        return reply

    def _ask_live(self, question: str, images: Sequence[Image.Image] = (), **settings: Any) -> Reply:
        request = self._request(question, images, **settings)
        return self._keep(digest(request), request, self.judge.ask(question, images, **settings))

    def _request(
        self,
        question: str,
        images: Sequence[Image.Image],
        *,
        system: str | None = None,
        max_tokens: int | None = None,
        images_first: bool = False,
        attempt: int = 0,
    ) -> dict[str, Any]:
        return {
            "judge": self._identity,
            "question": question,
            "system": system,
            "images": [pictures.address(image) for image in images],
            "max_tokens": max_tokens,
            "images_first": images_first,
            "attempt": attempt,
        }

    def _keep(self, key: str, request: dict[str, Any], reply: Reply) -> Reply:
        reply = replace(reply, address=address_of(key, reply))
        self.ledger.append(Entry(key=key, request=request, reply=reply))
        with self._lock:
            self.asked += 1
        return reply

    def _replayed(self, key: str, request: dict[str, Any]) -> Reply:
        if self.ledger.path is None:
            raise StoreError(f"judge {self.name}: replay: got no ledger; expected the run's. Replay a run that was judged before.")
        found = self.ledger.last(key)
        if found is not None:
            with self._lock:
                self.from_ledger += 1
            return found
        return Reply(
            outcome=Outcome.JUDGE_ERROR,
            error=(
                f"judge {self.name}: replay: {self.ledger.path.name} has no reply to this question about "
                f"{'this image' if len(request['images']) == 1 else 'these images' if request['images'] else 'no image'} "
                f"(request {key[:12]}): {self._difference(request)}. Restore what was changed, or ask a live judge."
            ),
            attempts=0,
        )

    def _difference(self, request: dict[str, Any]) -> str:
        """Say in what a request differs from the nearest one that the ledger knows."""
        names = {"images": "the image", "question": "the question", "judge": "the judge or its settings"}
        nearest: list[str] | None = None
        for entry in self.ledger.entries():
            different = [name for name in request if entry.request.get(name) != request[name]]
            if nearest is None or len(different) < len(nearest):
                nearest = different
        if nearest is None:
            return "the ledger is empty"
        if len(nearest) > 2:
            return "the image, the question or the judge's settings changed"
        return f"changed: {' and '.join(names.get(name, name) for name in nearest)}"
