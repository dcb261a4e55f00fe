"""`uniar-eval data`, with a small server in the place of GitHub and the hub, and copies made here in the official layout."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from evals.datasets import fetching
from evals.datasets.catalogue import CATALOGUE, Benchmark, File, Source, benchmark
from evals.datasets.geneval import metadata_text, official_rows, prompts_text
from evals.datasets.language import expect_language
from evals.errors import DataError
from evals.vocabulary import GENEVAL_CLASSES

GENEVAL = {
    "prompts/evaluation_metadata.jsonl": metadata_text(official_rows()).encode(),
    "prompts/generation_prompts.txt": prompts_text(official_rows()).encode(),
    "prompts/object_names.txt": "".join(f"{name}\n" for name in GENEVAL_CLASSES).encode(),
}


class Server:
    """Answers by path: bytes, a status, or a list of answers one after the other; `cut` sends half of the body."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                answer = outer.answers.get(self.path, 404)
                if isinstance(answer, list):
                    answer = answer.pop(0) if len(answer) > 1 else answer[0]
                cut = isinstance(answer, tuple)
                body = answer[1] if cut else answer
                if isinstance(body, int):
                    self.send_error(body)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if cut else body)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


@pytest.fixture
def root(tmp_path: Path, monkeypatch) -> Path:
    """An empty data root."""
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def longtext(language: str = "en") -> bytes:
    words = {"en": "OPEN DAILY", "zh": "每日营业"}[language]
    ids = [*range(80), *range(100, 140), *range(160, 200)]
    rows = (
        {"category": "sign", "length": "short", "prompt": f"a sign {words}", "text": [words], "text_length": 2, "prompt_id": i} for i in ids
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def packed(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as bundle:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            bundle.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def test_list_shows_source_revision_licence_and_what_is_here(cli, root: Path) -> None:
    write(root / "longtext", {"text_prompts.jsonl": longtext()})
    rows = {row["name"]: row for row in json.loads(cli("data", "list", "--json").stdout)}
    assert {"geneval", "longtext", "oneig", "dpg", "wise", "compbench", "imgedit", "gedit", "uniar-prompts"} <= set(rows)
    assert (rows["longtext"]["here"], rows["longtext"]["parts"]) == (1, 2) and rows["geneval"]["here"] == 0
    assert rows["geneval"]["revision"] == "af4902f" and len(rows["geneval"]["files"][0]["sha256"]) == 64
    assert rows["longtext"]["files"][0]["sha256"] == "unknown" and rows["longtext"]["licence"].startswith("unknown: check")
    assert "1/2 here" in cli("data", "list").stdout


def test_fetch_then_check(cli, root: Path, server: Server) -> None:
    for name, data in GENEVAL.items():
        server.answers[f"/djghosh13/geneval/af4902f/{name}"] = data
    # Not where it is looked for first.
    del server.answers["/djghosh13/geneval/af4902f/prompts/object_names.txt"]
    server.answers["/djghosh13/geneval/af4902f/evaluation/object_names.txt"] = GENEVAL["prompts/object_names.txt"]
    done = cli("data", "fetch", "geneval", "--mirror", server.url)
    assert done.exit_code == 0, done.output
    assert {name: (root / "geneval" / name).read_bytes() for name in GENEVAL} == GENEVAL
    lock = json.loads((root / "geneval/uniar-data.json").read_text())["files"]
    assert lock["prompts/object_names.txt"]["revision"] == "af4902f" and lock["prompts/object_names.txt"]["bytes"] == len(
        GENEVAL["prompts/object_names.txt"]
    )
    done = cli("data", "check", "geneval", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout) == {
        "name": "geneval",
        "folder": str(root / "geneval"),
        "files": 3,
        "rows": 553 + 553 + 80,
        "images": 0,
        "problems": [],
    }


def test_another_version_of_a_known_file_is_refused(cli, root: Path, server: Server) -> None:
    for name, data in GENEVAL.items():
        server.answers[f"/djghosh13/geneval/af4902f/{name}"] = data.replace(b"photo", b"image")
    done = cli("data", "fetch", "geneval", "--mirror", server.url)
    assert done.exit_code == 2 and "sha256: got" in done.stderr and done.stderr.count("\n") == 1
    assert [path for path in (root / "geneval").rglob("*") if path.is_file()] == []


def test_offline_and_absent_are_one_sentence(cli, root: Path, server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = cli("data", "fetch", "longtext", "--mirror", f"http://127.0.0.1:{port}")
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert "no connection to 127.0.0.1" in done.stderr and "--from PATH" in done.stderr
    done = cli("data", "fetch", "longtext", "--mirror", server.url)
    assert done.exit_code == 2 and "got 404; expected the file of the pinned revision" in done.stderr
    for bad in ("file:///etc", "ftp://x"):
        assert "begins with http" in cli("data", "fetch", "longtext", "--mirror", bad).stderr
    assert 'Did you mean "longtext"?' in cli("data", "fetch", "longtxt").stderr
    assert "--from" in cli("data", "fetch", "longtext", "--link").stderr


def test_broken_transfers_are_tried_again(tmp_path: Path, server: Server) -> None:
    entry = benchmark("longtext")
    path = "/X-Omni-Team/X-Omni/2b8237b/textbench/text_prompts"
    server.answers[f"{path}.jsonl"] = [("cut", longtext()), 503, longtext()]
    server.answers[f"{path}_zh.jsonl"] = [("cut", longtext("zh"))]
    waits: list[float] = []
    with pytest.raises(DataError, match="got a broken transfer"):
        fetching.fetch(entry, tmp_path, mirror=server.url, pause=waits.append)
    assert (tmp_path / "text_prompts.jsonl").read_bytes() == longtext() and len(waits) == 4
    # What came whole is kept and recorded; nothing half is left.
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text_prompts.jsonl", "uniar-data.json"]
    server.answers[f"{path}_zh.jsonl"] = 500
    with pytest.raises(DataError, match="got HTTP 500"):
        fetching.fetch(entry, tmp_path, mirror=server.url, pause=waits.append)


def test_larger_than_the_benchmark_can_be(tmp_path: Path, server: Server) -> None:
    entry = Benchmark(name="b", title="", source=Source(kind="git", repository="o/r", revision="1"), files=(File(name="a"),), max_bytes=10)
    server.answers["/o/r/1/a"] = b"x" * 11
    with pytest.raises(DataError, match="got 11 bytes; expected at most 10"):
        fetching.fetch(entry, tmp_path, mirror=server.url)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_comes_out_of_the_repositorys_archive(cli, root: Path, server: Server) -> None:
    prompts = {f"ELLA-3c228f1/dpg_bench/prompts/p{i}.txt": b"a cat" for i in range(5)}
    server.answers["/TencentQQGYLab/ELLA/tar.gz/3c228f1"] = packed({**prompts, "ELLA-3c228f1/other/x.txt": b"no"})
    server.answers["/TencentQQGYLab/ELLA/3c228f1/dpg_bench/dpg_bench.csv"] = (
        b"item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language\n"
        b"p0,a cat,,1,0,entity,whole,entity - whole (cat),Is there a cat?\n"
    )
    done = cli("data", "fetch", "dpg", "--mirror", server.url)
    assert done.exit_code == 1 and "prompts: got 5 files; expected 1065" in done.stdout
    assert sorted(p.name for p in (root / "dpg/prompts").iterdir()) == [f"p{i}.txt" for i in range(5)]
    server.asked.clear()
    assert cli("data", "fetch", "dpg", "--mirror", server.url, "--only", "*.csv").exit_code == 0
    assert server.asked == ["/TencentQQGYLab/ELLA/3c228f1/dpg_bench/dpg_bench.csv"]


def test_a_hub_dataset_at_the_commit_it_is_at(cli, root: Path, server: Server) -> None:
    data = b"PAR1 rows PAR1"
    digest = hashlib.sha256(data).hexdigest()
    siblings = [{"rfilename": "README.md"}, {"rfilename": "data/train-0.parquet", "lfs": {"sha256": digest, "size": len(data)}}]
    listing = "/api/datasets/stepfun-ai/GEdit-Bench/revision/main?blobs=true"
    server.answers[listing] = json.dumps({"sha": "abc123", "siblings": siblings}).encode()
    server.answers["/datasets/stepfun-ai/GEdit-Bench/resolve/abc123/data/train-0.parquet"] = data
    rubric = "GEdit-Bench/viescore/vie_prompts.py"
    server.answers[f"/stepfun-ai/Step1X-Edit/570eba6ebda0c45c013983a483afbf2fd12bfcbc/{rubric}"] = b"x = 1\n"
    done = cli("data", "fetch", "gedit", "--mirror", server.url)
    assert done.exit_code == 0, done.output
    assert (root / "gedit/data/train-0.parquet").read_bytes() == data
    assert json.loads((root / "gedit/uniar-data.json").read_text())["files"]["data/train-0.parquet"]["revision"] == "abc123"
    server.answers["/datasets/stepfun-ai/GEdit-Bench/resolve/abc123/data/train-0.parquet"] = data + b"!"
    assert "sha256: got" in cli("data", "fetch", "gedit", "--mirror", server.url).stderr
    server.answers[listing] = b"<html>"
    assert "no list of files" in cli("data", "fetch", "gedit", "--mirror", server.url).stderr


@pytest.mark.parametrize("kind", ["folder", "checkout", "flat", "tar.gz", "zip"])
def test_from_a_local_copy(cli, root: Path, tmp_path: Path, kind: str) -> None:
    base = {"folder": "", "checkout": "textbench/", "flat": "", "tar.gz": "X-Omni-2b8237b/textbench/", "zip": "textbench/"}[kind]
    files = {f"{base}text_prompts.jsonl": longtext(), f"{base}text_prompts_zh.jsonl": longtext("zh"), f"{base}eval.py": b"other"}
    source = tmp_path / f"copy.{kind}"
    if kind == "tar.gz":
        source.write_bytes(packed(files))
    elif kind == "zip":
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        write(source, files)
    done = cli("data", "fetch", "longtext", "--from", str(source), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["taken"] == 2 and json.loads(done.stdout)["rows"] == 320
    assert (root / "longtext/text_prompts_zh.jsonl").read_bytes() == longtext("zh")
    assert not (root / "longtext/eval.py").exists()


def test_link_instead_of_copy(cli, root: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "copy", {"text_prompts.jsonl": longtext(), "text_prompts_zh.jsonl": longtext("zh")})
    assert cli("data", "fetch", "longtext", "--from", str(source), "--link").exit_code == 0
    assert (root / "longtext/text_prompts.jsonl").resolve() == source / "text_prompts.jsonl"
    (tmp_path / "a.tar").write_bytes(packed({"text_prompts.jsonl": longtext()}, "w"))
    assert "which is an archive" in cli("data", "fetch", "longtext", "--from", str(tmp_path / "a.tar"), "--link").stderr


def _tar_with(member: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as bundle:
        data = longtext()
        good = tarfile.TarInfo("text_prompts.jsonl")
        good.size = len(data)
        bundle.addfile(good, io.BytesIO(data))
        bundle.addfile(member, io.BytesIO(b""))
    return stream.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member, words",
    [
        (_member("../evil.jsonl"), "expected one inside the archive"),
        (_member("/etc/evil.jsonl"), "expected one inside the archive"),
        (_member("a/../../evil"), "expected one inside the archive"),
        (_member("text_prompts_zh.jsonl", tarfile.SYMTYPE, "/etc/passwd"), "a link or a device"),
        (_member("text_prompts_zh.jsonl", tarfile.LNKTYPE, "../x"), "a link or a device"),
        (_member("text_prompts_zh.jsonl", tarfile.CHRTYPE), "a link or a device"),
    ],
)
def test_hostile_archives_are_refused_whole(cli, root: Path, tmp_path: Path, member: tarfile.TarInfo, words: str) -> None:
    (tmp_path / "x.tar").write_bytes(_tar_with(member))
    done = cli("data", "fetch", "longtext", "--from", str(tmp_path / "x.tar"))
    assert done.exit_code == 2 and words in done.stderr and done.stderr.count("\n") == 1
    assert not root.exists() and not (tmp_path / "evil.jsonl").exists()


def test_hostile_zips_folders_and_damaged_archives(cli, root: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "up.zip", "w") as archive:
        archive.writestr("../evil.jsonl", "x")
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        info = zipfile.ZipInfo("text_prompts.jsonl")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    folder = write(tmp_path / "links", {"a.txt": b"x"})
    (folder / "text_prompts.jsonl").symlink_to("/etc/passwd")
    whole = packed({"text_prompts.jsonl": longtext()})
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "half.tar").write_bytes(packed({"text_prompts.jsonl": longtext()}, "w")[:5000])
    (tmp_path / "text.tar").write_text("no archive")
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("up.zip", "inside the archive"),
        ("link.zip", "a link or a device"),
        ("links", "a link that leads out"),
        ("half.tar.gz", "damaged archive"),
        ("half.tar", "damaged archive"),
        ("text.tar", "no archive"),
        ("empty", "none of the files of longtext"),
        ("absent", "expected a folder, a tar or a zip"),
    ):
        done = cli("data", "fetch", "longtext", "--from", str(tmp_path / name))
        assert done.exit_code == 2 and words in done.stderr and done.stderr.count("\n") == 1, (name, done.stderr)
    assert not root.exists()


def test_a_copy_that_unpacks_to_too_much(cli, root: Path, tmp_path: Path, monkeypatch) -> None:
    small = Benchmark(
        name="small", title="", source=Source(kind="git", repository="o/r", revision="1"), files=(File(name="a"),), max_bytes=1000
    )
    monkeypatch.setitem(CATALOGUE, "small", small)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"\0" * 10_000_000)
    done = cli("data", "fetch", "small", "--from", str(tmp_path / "bomb.zip"))
    assert done.exit_code == 2 and "more than 1000 bytes" in done.stderr
    assert [path for path in root.rglob("*") if path.is_file()] == []


def check(cli, name: str) -> list[str]:
    done = cli("data", "check", name, "--json")
    problems = json.loads(done.stdout)["problems"]
    assert done.exit_code == (1 if problems else 0)
    return problems


def test_check_names_every_broken_row(cli, root: Path) -> None:
    lines = longtext().decode().splitlines()
    lines[2] = '{"category": '
    lines[9] = lines[9].replace('"prompt_id"', '"id"')
    write(root / "longtext", {"text_prompts.jsonl": "\n".join(lines[:-1]).encode(), "text_prompts_zh.jsonl": longtext("en")})
    problems = check(cli, "longtext")
    assert problems[0] == "text_prompts.jsonl: got 159 rows; expected 160. Fetch it again."
    assert problems[1].startswith("text_prompts.jsonl:3: got no row") and problems[2].startswith(
        "text_prompts.jsonl:10: prompt_id: got nothing"
    )
    assert "text_prompts_zh.jsonl:1: got English text, as in 160 of 160 rows; expected Chinese" in problems[3] and len(problems) == 4
    write(root / "longtext", {"text_prompts.jsonl": longtext("zh"), "text_prompts_zh.jsonl": b"\xff\xfe"})
    problems = check(cli, "longtext")
    assert "got Chinese text" in problems[0] and "expected UTF-8 text" in problems[1]


def test_check_notices_a_change_since_the_fetch(cli, root: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "copy", {"text_prompts.jsonl": longtext(), "text_prompts_zh.jsonl": longtext("zh")})
    cli("data", "fetch", "longtext", "--from", str(source))
    assert check(cli, "longtext") == []
    path = root / "longtext/text_prompts.jsonl"
    path.write_bytes(path.read_bytes().replace(b"DAILY", b"NEVER"))
    assert ["It was changed since" in problem for problem in check(cli, "longtext")] == [True]
    (root / "longtext/uniar-data.json").write_text("{")
    assert "expected what a fetch wrote" in cli("data", "check", "longtext").stderr


def test_check_of_nothing_tells_how_to_get_it(cli, root: Path) -> None:
    done = cli("data", "check", "compbench")
    assert done.exit_code == 1 and done.stdout.count("Run `uniar-eval data fetch compbench`") == 11


def test_pictures_are_opened_and_named_with_their_row(cli, root: Path, tmp_path: Path, monkeypatch) -> None:
    entry = CATALOGUE["imgedit"]
    few = replace(entry, files=(replace(entry.files[0], rows=12), *entry.files[1:]))
    monkeypatch.setitem(CATALOGUE, "imgedit", few)
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    types = ["add", "adjust", "style"]
    table = {str(22 + i): {"id": f"animal/{i}.jpg", "prompt": "Make it blue.", "edit_type": types[i % 3]} for i in range(12)}
    images = {f"images/animal/{i}.jpg": stream.getvalue() for i in range(12)}
    images["images/animal/5.jpg"] = stream.getvalue()[:50]
    del images["images/animal/9.jpg"]
    other = {"prompts.json": json.dumps({str(i): "rubric" for i in range(9)}).encode(), "UGE_bench.py": b"x = 1\n"}
    other["UGE_edit.json"] = json.dumps([{"id": "a.jpg", "prompt": "p"}] * 47).encode()
    source = write(tmp_path / "copy", {"basic_edit.json": json.dumps(table).encode(), **images, **other})
    done = cli("data", "fetch", "imgedit", "--from", str(source), "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and found["images"] == 10 and len(found["problems"]) == 2
    assert "basic_edit.json:27: images/animal/5.jpg: this picture cannot be read" in found["problems"][0]
    assert "basic_edit.json:31: images/animal/9.jpg: got no such file" in found["problems"][1]
    from evals.datasets.imgedit import ImgEditDataset

    # The dataset finds what was fetched where it was put.
    assert ImgEditDataset().root == root / "imgedit/images"


def test_tables_of_text(cli, root: Path) -> None:
    stream = io.StringIO()
    table = csv.DictWriter(stream, ["category", "id", "prompt_en", "type", "prompt_length", "class"])
    table.writeheader()
    for i in range(1120):
        table.writerow({"category": "Portrait", "id": f"{i:03d}", "prompt_en": 'a "portrait",\nof two lines' if i != 700 else ""})
    write(root / "oneig", {"OneIG-Bench.csv": stream.getvalue().encode()})
    done = cli("data", "check", "oneig", "--only", "OneIG-Bench.csv")
    assert done.exit_code == 1 and "OneIG-Bench.csv:row 701: prompt_en: got nothing" in done.stdout and "1 problems" in done.stdout


def test_a_folder_that_cannot_be_written(cli, root: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "copy", {"text_prompts.jsonl": longtext()})
    root.write_text("a file in the way")
    done = cli("data", "fetch", "longtext", "--from", str(source))
    assert done.exit_code == 2 and "expected a folder that can be written" in done.stderr and done.stderr.count("\n") == 1


def test_a_file_of_the_other_language() -> None:
    english = [(f"f:{n}", "a red cup") for n in range(5)]
    chinese = [(f"f:{n}", ["\u4e00\u53ea\u732b", "cat"]) for n in range(5)]
    expect_language(english, "en")
    expect_language(chinese, "zh")
    expect_language(chinese, "cn")
    expect_language([], "en")
    # A few rows with a quotation are no other language, and numbers are none.
    expect_language([*english, *chinese[:4]], "en")
    expect_language([("f:1", "24")], "zh")
    with pytest.raises(DataError, match="f:0: got Chinese text, as in 5 of 5 rows; expected English"):
        expect_language(chinese, "en")
    with pytest.raises(DataError, match="got English text, as in 5 of 9 rows; expected Chinese"):
        expect_language([*english, *chinese[:4]], "cn")


def test_one_split_of_an_understanding_benchmark(cli, root: Path, server: Server) -> None:
    names = ("Art/validation-00000-of-00001.parquet", "Art/test-00000-of-00001.parquet", "Music/validation-00000-of-00001.parquet")
    siblings = [{"rfilename": name, "lfs": {"sha256": hashlib.sha256(name.encode()).hexdigest(), "size": len(name)}} for name in names]
    hub = "/datasets/lmms-lab-encoder/MMMU/resolve/abc123"
    listing = "/api/datasets/lmms-lab-encoder/MMMU/revision/main?blobs=true"
    server.answers[listing] = json.dumps({"sha": "abc123", "siblings": siblings}).encode()
    server.answers.update({f"{hub}/{name}": name.encode() for name in names})
    done = cli("data", "fetch", "mmmu", "--mirror", server.url)
    assert done.exit_code == 0, done.output
    kept = [path.relative_to(root / "mmmu").as_posix() for path in sorted((root / "mmmu").rglob("*.parquet"))]
    assert kept == [f"data/{names[0]}", f"data/{names[2]}"] and not any("test-" in path for path in server.asked)
    # The dataset finds what was fetched, and a copy's other splits and sets stay behind.
    from evals.datasets.understanding import UnderstandingDataset

    assert [path.relative_to(root / "mmmu").as_posix() for path in UnderstandingDataset(benchmark="mmmu").files] == kept
    copy = write(root / "copy", {"en/dev-0.parquet": b"x", "en/test-0.parquet": b"y", "cn/dev-0.parquet": b"z"})
    assert cli("data", "fetch", "mmbench", "--from", str(copy)).exit_code == 0
    assert [path.read_bytes() for path in (root / "mmbench").rglob("*.parquet")] == [b"x"]
