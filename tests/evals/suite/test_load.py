"""A mistake in a suite file is one sentence with file, line, key and the nearest valid name."""

from __future__ import annotations

import pytest

from evals.errors import SuiteError
from evals.registry import Registry
from evals.suite import load, lock
from evals.suite.located import parse

CASES = [
    (
        "guidance_scale: 2.5",
        "guidence_scale: 2.5",
        "toy.yaml:11: generate.guidence_scale: got an unknown key; expected one of",
        'Did you mean "guidance_scale"?',
    ),
    ("repeats: 2", "repeats: two", 'toy.yaml:11: generate.repeats: got "two"; expected a whole number.', ""),
    ("repeats: 2", "repeats: true", "toy.yaml:11: generate.repeats: got true; expected a whole number.", ""),
    ("repeats: 2", "repeats: 0", "toy.yaml:11: generate.repeats: got 0; expected at least 1.", ""),
    (
        "guidance_scale: 2.5",
        "guidance_scale: .nan",
        "toy.yaml:11: generate.guidance_scale: got nan; expected a finite number.",
        "",
    ),
    (
        "score: [{scorer: toy, threshold: 128}]",
        "score: [{scorer: tyo, threshold: 128}]",
        'toy.yaml:13: score[0].scorer: got "tyo"; no such scorer. Did you mean "toy"? (uniar-eval ls scorers)',
        "",
    ),
    (
        "threshold: 128",
        "treshold: 128",
        'toy.yaml:13: score[0].treshold: got a key that the scorer "toy" does not have',
        'Did you mean "threshold"?',
    ),
    ("threshold: 128", "threshold: high", 'toy.yaml:13: score[0].threshold: got "high"; expected a whole number.', ""),
    ("threshold: 128", "roles: 1", "toy.yaml:13: score[0].roles: got a key", ""),
    (
        "dataset: toy, prompts: 6",
        "dataset: toy, promts: 6",
        "toy.yaml:10: data.promts: got a key",
        'Did you mean "prompts"?',
    ),
    ("prompts: 6", "table: nowhere.csv", 'toy.yaml:10: data.table: got "nowhere.csv"; expected an existing file.', ""),
    (
        "detector: {use: toy}",
        "detektor: {use: toy}",
        "toy.yaml:12: roles.detektor: got an unknown key",
        'Did you mean "detector"?',
    ),
    (
        "verb: generate",
        "verb: genrate",
        'toy.yaml:9: verb: got "genrate"; expected one of generate, edit, understand, reconstruct, converse.',
        'Did you mean "generate"?',
    ),
    (
        "headline: macro_over_tasks",
        "headline: macro_over_task",
        'toy.yaml:14: report.headline: got "macro_over_task"; expected one of',
        'Did you mean "macro_over_tasks"?',
    ),
    ("title: Toy\nversion", "titel: Toy\nversion", "toy.yaml:2: titel: got an unknown key", 'Did you mean "title"?'),
    (
        "./toy_plugins.py",
        "./toy_plugin.py",
        'toy.yaml:4: plugins[0]: got "./toy_plugin.py"; expected an existing Python file.',
        'Did you mean "toy_plugins.py"?',
    ),
    (
        "./toy_plugins.py",
        "../evil.py",
        'toy.yaml:4: plugins[0]: got "../evil.py"; expected a path inside the suite\'s folder.',
        "",
    ),
    ("suite: toy", "suite: toy\nsuite: toy", "toy.yaml:2: suite: got the key twice; expected it once.", ""),
    ("suite: toy", "suite: ../toy", 'toy.yaml:1: suite: got "../toy"', ""),
    ("    verb: generate", "    verb: [", "toy.yaml:", "broken YAML"),
]


@pytest.mark.parametrize(("old", "new", "start", "part"), CASES, ids=[case[1][:24] for case in CASES])
def test_mistakes(toy, cli, old, new, start, part):
    text = toy.read_text()
    assert old in text
    toy.write_text(text.replace(old, new, 1))
    result = cli("validate", "toy.yaml")
    assert result.exit_code == 2 and result.stdout == ""
    assert start in result.stderr and part in result.stderr and result.stderr.count("\n") == 1, result.stderr


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("generate.guidence_scale=2", "--set: generate.guidence_scale: got an unknown key; expected one of"),
        ("genrate.height=2", "--set: genrate: got an unknown key; expected one of"),
        ("generate.height=tall", '--set: generate.height: got "tall"; expected a whole number.'),
        ("score[4].threshold=1", '--set: score[4].threshold: got "4"; expected a number from 0 to 0 in score.'),
        (
            "generate.height.x=1",
            "--set: generate.height.x: got a key inside 8; expected generate.height to be a table.",
        ),
        ("generate.height", "--set: got"),
        ("generate.height=[", '--set: generate.height: got "["; expected a YAML value.'),
        ("score.0.treshold=1", "--set: score[0].treshold: got a key that the scorer"),
    ],
)
def test_set_is_checked_like_the_file(toy, cli, setting, expected):
    result = cli("run", "toy.yaml", "--model", "toy", "--set", setting)
    assert result.exit_code == 2 and result.stderr.startswith(expected), result.stderr


def test_unknown_profile(toy, cli):
    result = cli("run", "toy.yaml", "--model", "toy", "--profile", "minni")
    assert 'toy.yaml:5: profiles: got "minni"; expected one of official, mini. Did you mean "mini"?' in result.stderr


def test_set_reaches_the_resolved_suite(toy):
    suite = load.open_suite("toy.yaml").resolve("official", ["generate.guidance_scale=3", "score.0.threshold=5"])
    load.check_plugins(suite, Registry(suite.plugins))
    resolved = lock.resolved(suite)
    assert resolved["generate"]["guidance_scale"] == 3.0 and resolved["score"] == [{"scorer": "toy", "threshold": 5}]


def test_identity_leaves_out_speed_and_nothing_else(toy):
    opened = load.open_suite("toy.yaml")

    def identity(*settings: str) -> dict:
        resolved = lock.resolved(opened.resolve("official", settings))
        return lock.identity(resolved, model={"id": "m", "sha256": "s"}, seed=0, limit=None, samples_sha256="x")

    assert identity() == identity("generate.batch_size=99") == identity("generate.guidance_scale=2.50")
    assert identity() != identity("generate.guidance_scale=2.4")
    assert identity() != identity("score.0.threshold=1")


def test_path_wins_over_name_and_folder_is_refused(toy):
    assert load.find("toy.yaml")[0].name == "toy.yaml"
    with pytest.raises(SuiteError, match="got the folder"):
        load.find(".")


def test_merge_keys_and_anchors_work():
    root = parse("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3\n", filename="f")
    assert root.plain() == {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}}


def test_alias_bomb_is_refused():
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(SuiteError, match="more than 50,000 values"):
        parse("\n".join(rows), filename="f")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: !!python/object/apply:os.system [ls]",
            'f:1: a: got the tag "tag:yaml.org,2002:python/object/apply:os.system"',
        ),
        ("a: 1\nb: !!python/name:os.system x", "f:2: suite: got broken YAML"),
        ("", "f:1: suite: got an empty file"),
        ("a: 1\n2: 1", "f:2: suite: got the key 2; expected a text key"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(text, message):
    with pytest.raises(SuiteError) as caught:
        parse(text, filename="f")
    assert str(caught.value).startswith(message)
