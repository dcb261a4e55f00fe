"""`uniar generate`, `edit`, `understand`, `info`: mistakes are one sentence, `info` counts by part."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("generate", "a star", "--out", "a.xyz"), "--out: got a.xyz"),
        (("edit", "absent.png", "make it blue"), "absent.png: cannot be read as an image"),
        (("understand", "absent.png", "what is it?"), "absent.png: cannot be read as an image"),
        (("info", "absent-folder"), "absent-folder: no such checkpoint"),
        (("info", "--device", "banana"), "--device: got 'banana'"),
    ],
)
def test_a_mistake_is_one_sentence(uniar_cli, arguments, told):
    ran = uniar_cli(*arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"Error: {told}")
    assert "Traceback" not in ran.err


def test_info_counts_every_parameter_of_the_model(uniar_cli, golden):
    from uniar import load

    ran = uniar_cli("info", golden, "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    parts = told["parameters"]
    own = [parts[name] for name in ("vision", "language", "text head", "visual head")]
    assert sum(own) == load(golden).fingerprint()["num_parameters"] == told["num_parameters"]
    assert parts["total"] == sum(count for name, count in parts.items() if name != "total")
