"""Names of plugins: three origins, collisions, broken ones, and the nearest name."""

from __future__ import annotations

import json

import pytest

from evals.errors import PluginError
from evals.registry import BUILTIN, GROUPS, Entry, Registry


def installed(name: str, target: str, kind: str = "scorer") -> Entry:
    return Entry(kind=kind, name=name, target=target, origin="package other 1.0")


def test_every_builtin_kind_has_a_group():
    assert set(BUILTIN) <= set(GROUPS) and len(set(GROUPS.values())) == len(GROUPS)


def test_unknown_name_gives_the_nearest():
    with pytest.raises(PluginError, match=r'got "genevl"; no such scorer. Did you mean "geneval"\?'):
        Registry(installed=[]).load("scorer", "genevl")


def test_collision_prints_both_origins():
    registry = Registry(installed=[installed("geneval", "other:Thing")])
    with pytest.raises(PluginError, match=r"twice, by package other 1.0 \(other:Thing\) and built-in"):
        registry.load("scorer", "geneval")
    assert all("twice" in registry.problem(e) for e in registry.entries("scorer") if e.name == "geneval")


@pytest.mark.parametrize("target", ["no_such_module_x:Thing", "json:Thing"])
def test_broken_plugin_is_listed_and_told_when_named(target):
    registry = Registry(installed=[installed("bad", target)])
    entry = next(e for e in registry.entries("scorer") if e.name == "bad")
    assert "is broken, because" in registry.problem(entry) and "package other 1.0" in registry.problem(entry)
    with pytest.raises(PluginError, match="is broken, because"):
        registry.load("scorer", "bad")


def test_installed_plugin_is_loaded():
    assert Registry(installed=[installed("ok", "json:dumps")]).load("scorer", "ok") is json.dumps


def test_local_file_is_found(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("PLUGINS = {'scorer': {'mine': dict}}")
    registry = Registry([path], installed=[])
    assert registry.load("scorer", "mine") is dict
    (entry,) = (entry for entry in registry.entries("scorer") if entry.name == "mine")
    assert entry.origin == f"file {path}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_at_all", "is broken, because ModuleNotFoundError"),
        ("x = 1", "PLUGINS: got NoneType"),
        ("PLUGINS = {'scorers': {}}", 'got kind "scorers"; expected one of .* Did you mean "scorer"'),
        ("PLUGINS = {'scorer': {'geneval': dict}}", "defined twice, by file .*mine.py .* and built-in"),
    ],
)
def test_mistakes_of_a_local_file_are_told(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(PluginError, match=message):
        Registry([path], installed=[]).load("scorer", "geneval")
