"""Hostile picture files: each has its sentence, its outcome and no cost, and the run goes on."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from evals.errors import DataError
from evals.store.pictures import open_image

ROOT = Path(__file__).resolve().parents[3]


def png(width: int, height: int) -> bytes:
    """A valid black PNG of any size, made without holding its pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    pack = zlib.compressobj(1)
    # Ten rows a call: zeros cost nothing to pack.
    row = b"\0" * (1 + 3 * width)
    data = b"".join(pack.compress(row) for _ in range(height)) + pack.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def encoded(form: str, *, mode: str = "RGB", size: tuple[int, int] = (40, 30), **more) -> bytes:
    stream = io.BytesIO()
    noise = Image.effect_noise(size, 80).convert(mode)
    noise.save(stream, form, **more)
    return stream.getvalue()


@pytest.fixture(scope="module")
def bomb(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bomb") / "bomb.png"
    path.write_bytes(png(20_000, 20_000))
    assert path.stat().st_size < 10_000_000
    return path


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats_are_read_whatever_the_name_says(tmp_path: Path, form: str) -> None:
    (tmp_path / "x.png").write_bytes(encoded(form))
    found = open_image(tmp_path / "x.png")
    assert (found.mode, found.size) == ("RGB", (40, 30))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated(tmp_path: Path, form: str, share: float) -> None:
    data = encoded(form)
    (tmp_path / "x.png").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"x\.png: this picture cannot be read \(.+\); expected a whole"):
        open_image(tmp_path / "x.png")


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "the file is empty"),
        (b"hello, I am a text\n" * 9, "content is text"),
        ("一张图片\n".encode() * 9, "content is"),
        (bytes(range(256)), "no picture of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "content is text"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 99, "cannot be read"),
    ],
)
def test_what_is_no_picture(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(DataError, match=words) as told:
        open_image(tmp_path / "x.png")
    assert "\n" not in str(told.value)


def test_folders_and_absent_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        open_image(tmp_path / "x.png")
    (tmp_path / "y.png").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        open_image(tmp_path / "y.png")


def test_large_pictures_cost_nothing(bomb: Path) -> None:
    with pytest.raises(DataError, match="got 20000 x 20000 pixels; expected at most 67108864"):
        open_image(bomb)
    # In its own process: its peak memory is the picture's alone, and its warnings are errors.
    code = "import sys, resource\nfrom pathlib import Path\nfrom evals.store.pictures import open_image\n" + (
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    open_image(Path(sys.argv[1]))\nexcept Exception as error:\n    print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(bomb)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    sentence, grown = done.stdout.splitlines()
    assert "got 20000 x 20000 pixels" in sentence and done.stderr == ""
    assert int(grown) < 100_000, "kilobytes"


def test_between_the_limit_and_pillows_there_is_no_warning(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(10_000, 9_500))
    with pytest.raises(DataError, match="got 10000 x 9500 pixels"):
        open_image(tmp_path / "x.png")
    (tmp_path / "y.png").write_bytes(png(30, 20))
    with pytest.raises(DataError, match="at most 599"):
        open_image(tmp_path / "y.png", max_pixels=599)
    assert open_image(tmp_path / "y.png", max_pixels=600).size == (30, 20)


def test_modes_and_upright(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    for mode in ("P", "L", "1", "RGBA", "LA", "I;16"):
        Image.new(mode, (4, 3)).save(path)
        assert open_image(path).mode == "RGB"
    palette = Image.new("P", (4, 3))
    palette.save(path, transparency=b"\0\xff")
    assert open_image(path).mode == "RGB"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 3)).save(path, exif=exif)
    assert open_image(path).size == (3, 4)


def test_a_run_over_hostile_files_goes_on(tmp_path: Path, monkeypatch, cli, bomb: Path) -> None:
    monkeypatch.chdir(ROOT)
    folder = tmp_path / "made"
    listed = cli("samples", "suites/geneval.yaml", "--profile", "mini", "--limit", "1")
    ids = [json.loads(line)["sample_id"] for line in listed.stdout.splitlines()]
    good = encoded("PNG", size=(64, 64))
    for sample_id in ids:
        (folder / sample_id / "samples").mkdir(parents=True)
        for repeat in range(2):
            (folder / sample_id / f"samples/{repeat:04d}.png").write_bytes(good)
    hostile = [folder / ids[i // 2] / f"samples/{i % 2:04d}.png" for i in range(5)]
    hostile[0].write_bytes(good[: len(good) // 2])
    hostile[1].write_bytes(bomb.read_bytes())
    hostile[2].write_text("not a picture\n")
    hostile[3].unlink()
    hostile[4].write_bytes(b"")
    out = tmp_path / "run"
    arguments = ("run", "suites/geneval.yaml", "--profile", "mini", "--limit", "1", "--no-report", "--out", str(out))
    result = cli(*arguments, "--model", f"images:{folder}")
    assert result.exit_code == 3, result.output
    found = json.loads((out / "results.json").read_text())
    assert found["outcomes"] == {"ok": 7, "generation_error": 4, "missing": 1}
    assert found["headline"]["n"] == 7 and found["headline"]["n_expected"] == 12
    rows = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    told = [row["error"] for row in rows if row["error"]]
    for words in ("image file is truncated", "20000 x 20000 pixels", "content is text", "No image", "the file is empty"):
        assert sum(words in sentence for sentence in told) == 1, words
    assert all(sentence.count("\n") == 0 and str(tmp_path) not in sentence for sentence in told)
    # The same command tries the five again and nothing else.
    again = cli(*arguments, "--model", f"images:{folder}")
    assert again.exit_code == 3 and "7 of 12 outputs are finished" in again.stdout
    assert json.loads((out / "results.json").read_text())["outcomes"] == found["outcomes"]


def test_empty_folder_and_absent_folder_are_one_sentence(tmp_path: Path, monkeypatch, cli) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "empty").mkdir()
    for name, words in (("empty", "got no image"), ("absent", "no such folder")):
        done = cli("run", "suites/geneval.yaml", "--profile", "mini", "--model", f"images:{tmp_path / name}", "--out", str(tmp_path / "o"))
        assert done.exit_code == 2 and words in done.stderr and done.stderr.count("\n") == 1
        assert not (tmp_path / "o").exists()
