"""`uniar-eval serve` with a real client and a real browser: live, confined, read only, for this machine only."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from evals.errors import DataError
from evals.store.layout import Layout
from evals.store.lock import locked
from reports import serve, status

_spec = importlib.util.spec_from_file_location("boards", Path(__file__).parent / "boards.py")
helpers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(helpers)
HOSTILE_FOLDER = "hostile <script>window.pwned=1</script> \u202e\U0001f469"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("served")
    helpers.run(where, "good", 0.9)
    helpers.run(where, "halting", 0.9, fail="round_two-003")
    helpers.run(where, helpers.HOSTILE, 0.4, out=HOSTILE_FOLDER.replace("/", "_"))
    (where / "runs" / "broken").mkdir()
    (where / "runs" / "broken" / "manifest.json").write_text("{")
    (where / "secret.json").write_text('{"secret": 1}')
    return where / "runs"


@pytest.fixture(scope="module")
def running(folder):
    with serve.start(folder) as found:
        yield found


def ask(running, path, method="GET", **headers):
    place = urlsplit(running.url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def listed(running):
    return {row["name"]: row for row in json.loads(ask(running, "/runs.json")[2])}


def contents(folder):
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in folder.rglob("*") if path.is_file()}


def test_the_list_tells_status_progress_and_number(running, folder):
    rows = listed(running)
    assert len(rows) == 4
    head = json.loads((folder / "good" / "results.json").read_text())["headline"]
    good = rows["good"]
    assert (good["status"], good["done"], good["failed"], good["expected"], good["value"]) == (
        "complete",
        120,
        0,
        120,
        f"{head['value']:.3f}",
    )
    assert (rows["halting"]["status"], rows["halting"]["done"], rows["halting"]["failed"]) == ("incomplete", 118, 2)
    assert rows["broken"]["status"] == "broken" and "damaged file" in rows["broken"]["problem"]


def test_reports_are_drawn_from_the_records_and_nothing_is_written(running, folder):
    before = contents(folder)
    (folder / "good" / "report").mkdir()
    (folder / "good" / "report" / "index.html").write_text("<script>alert(1)</script>planted")
    address = listed(running)["good"]["address"]
    code, headers, body = ask(running, f"/run/{address}/report/")
    assert code == 200 and b"planted" not in body and b"Ranked, short prompts" in body
    assert "script-src 'sha256-" in headers["Content-Security-Policy"] and "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert ask(running, f"/run/{address}")[0] == 404 and ask(running, f"/run/{address}/report")[1]["Location"] == f"/run/{address}/report/"
    code, headers, body = ask(running, f"/run/{address}/images/round_one-000/00000.png")
    assert code == 200 and headers["Content-Type"] == "image/png" and body.startswith(b"\x89PNG")
    for path in sorted((folder / "good" / "report").iterdir()):
        path.unlink()
    (folder / "good" / "report").rmdir()
    assert contents(folder) == before


@pytest.mark.parametrize(
    "path",
    [
        "../secret.json", "..%2fsecret.json", "%2e%2e/%2e%2e/secret.json", "images/../../../secret.json", "/etc/passwd", "%2Fetc%2Fpasswd",
        "report/../../manifest.json", "report/..%2f..%2f..%2fsecret.json", "link/secret.json", "run.lock", ".hidden.json", "page.html",
        "images", "images/%00.png", "drawing.svg", "codes/x.safetensors",
    ],
)  # fmt: skip
def test_no_path_leaves_the_run_and_no_markup_is_sent(running, folder, path):
    good = folder / "good"
    for name in (".hidden.json", "page.html", "drawing.svg"):
        (good / name).write_text("<script>alert(1)</script>")
    if not (good / "link").exists():
        (good / "link").symlink_to(folder.parent)
    code, headers, body = ask(running, f"/run/{listed(running)['good']['address']}/{path}")
    assert code == 404 and b"secret" not in body.replace(b"secret.json", b"") and b"root:" not in body and b"alert" not in body
    assert headers["Content-Type"] == "text/plain; charset=utf-8"


def test_records_are_plain_text(running):
    address = listed(running)["good"]["address"]
    for name in ("journal.jsonl", "manifest.json", "scores/dark.jsonl"):
        code, headers, _ = ask(running, f"/run/{address}/{name}")
        assert code == 200 and headers["Content-Type"] == "text/plain; charset=utf-8" and headers["X-Content-Type-Options"] == "nosniff"


def test_a_foreign_name_is_refused(running):
    for host in ("evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", ""):
        assert ask(running, "/runs.json", Host=host)[0] == 403
    port = urlsplit(running.url).port
    assert ask(running, "/runs.json", Host=f"localhost:{port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_reading_is_answered(running, method):
    assert ask(running, "/", method)[0] == 501


def test_head_has_no_body(running):
    code, headers, body = ask(running, "/", "HEAD")
    assert code == 200 and int(headers["Content-Length"]) > 1000 and body == b""


def test_unknown_pages_runs_and_damaged_runs_are_told(running):
    assert ask(running, "/nothing")[0] == 404
    assert ask(running, "/run/0123456789abcdef/report/")[0] == 404
    code, _, body = ask(running, f"/run/{listed(running)['broken']['address']}/report/")
    assert code == 404 and b"damaged file" in body


def test_it_listens_on_this_machine_only(running):
    assert urlsplit(running.url).hostname == "127.0.0.1"
    port = f"{urlsplit(running.url).port:04X}"
    rows = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert f"0100007F:{port}" in rows and f"00000000:{port}" not in rows


def test_a_port_in_use_and_a_folder_that_is_none_are_told(running, tmp_path):
    with pytest.raises(DataError, match="cannot be used"), serve.start(tmp_path, port=urlsplit(running.url).port):
        pass
    with pytest.raises(DataError, match="got no folder"), serve.start(tmp_path / "none"):
        pass


def test_many_clients_at_once_get_whole_answers(running):
    address = listed(running)["halting"]["address"]
    found = []
    threads = [threading.Thread(target=lambda: found.append(ask(running, f"/run/{address}/report/"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len({body for _, _, body in found}) == 1


def test_a_locked_run_is_a_running_one_and_the_lock_is_left_alone(folder):
    layout = Layout(folder / "good")
    assert not status.working(layout)
    with locked(layout.lock):
        assert status.working(layout)
    assert not status.working(layout)


def test_without_the_kernels_list_a_fresh_journal_tells(folder, monkeypatch):
    monkeypatch.setattr(status, "_held", lambda: None)
    layout = Layout(folder / "good")
    os.utime(layout.journal)
    assert status.working(layout)
    os.utime(layout.journal, (time.time() - 3600,) * 2)
    assert not status.working(layout)


def test_a_journal_is_read_on_and_a_torn_line_waits(tmp_path):
    tail, path = status._Tail(), tmp_path / "journal.jsonl"
    row = '{"sample_id": "a", "repeat": %d, "outcome": "%s"}\n'
    assert tail.read(path) == (0, 0)
    path.write_text(row % (0, "ok") + (row % (1, "ok"))[:20])
    assert tail.read(path) == (1, 0)
    path.write_text(row % (0, "ok") + row % (1, "missing"))
    assert tail.read(path) == (1, 1)
    with path.open("a") as file:
        file.write(row % (1, "ok"))
    assert tail.read(path) == (2, 0)


# ---- in the browser ------------------------------------------------------------------------------------------------------


@pytest.fixture
def view(chromium):
    noise = []
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    yield page
    context.close()
    assert noise == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_the_list_fits_and_has_no_serious_fault(view, running, width, scheme):
    view.set_viewport_size({"width": width, "height": 900})
    view.emulate_media(color_scheme=scheme)
    view.goto(running.url)
    assert view.evaluate(helpers.OVERFLOW) <= 0 and helpers.faults(view) == []
    assert view.evaluate("window.pwned") is None
    text = view.locator("#runs-table").inner_text()
    assert "<script>window.pwned=1<_script> \u27e6U+202E\u27e7" in text and "damaged file" in text


def test_a_report_is_opened_with_its_pictures(view, running, until):
    view.goto(running.url)
    view.get_by_role("link", name="good", exact=True).click()
    until(view, "[...document.querySelectorAll('.card img')].length === 96")
    assert view.locator("h1").inner_text() == "Ranked, short prompts"
    view.locator(".card").first.click()
    until(view, "document.querySelector('.stage img').naturalWidth === 8")


def test_a_run_is_followed_while_it_goes_on(view, tmp_path):
    helpers.run(tmp_path, "live", 0.9)
    run = tmp_path / "runs" / "live"
    journal = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (run / "results.json").rename(run / "results.later")
    (run / "journal.jsonl").write_text("".join(journal[:30]))
    with serve.start(tmp_path / "runs") as running:
        with locked(Layout(run).lock):
            view.goto(running.url)
            row = view.locator("tr[data-address]")
            assert "running" in row.inner_text() and "30 of 120" in row.inner_text()
            (run / "journal.jsonl").write_text("".join(journal[:75]))
            row.get_by_text("75 of 120").wait_for(timeout=8000)
        (run / "journal.jsonl").write_text("".join(journal))
        (run / "results.later").rename(run / "results.json")
        row.get_by_text("complete", exact=True).wait_for(timeout=8000)
        value = json.loads((run / "results.json").read_text())["headline"]["value"]
        assert f"{value:.3f}" in row.inner_text() and row.locator("progress").evaluate("p => p.value") == 120
        helpers.run(tmp_path, "second", 0.9, limit=1)
        view.get_by_role("link", name="second", exact=True).wait_for(timeout=12000)


def test_the_command_says_where_and_ends_on_an_interrupt(folder):
    from evals.cli import main as module

    command = [sys.executable, "-c", "from evals.cli.main import main; main()", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(module.__file__).parents[2]
    ) as server:
        url = server.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        server.send_signal(signal.SIGINT)
        assert server.wait(10) == 130
