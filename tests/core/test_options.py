"""Options: what they hold, that they do not change, and that they hash by what they hold."""

import json
import pickle

import pytest

from adambias.core.errors import ConfigError
from adambias.core.options import Options, plain


def test_equal_options_are_one_whatever_their_order():
    one, other = Options({"a": 1, "b": [2, 3]}), Options({"b": (2, 3), "a": 1})
    assert one == other == {"a": 1, "b": [2, 3]}
    assert hash(one) == hash(other)
    assert len({one, other, Options()}) == 2
    assert one != {"a": 1}
    assert Options({"a": 0}) != Options({"a": 0.0}), "their keys differ"
    assert Options({"a": 1}) != Options({"a": True})
    assert Options() != {"a": object()}


def test_they_go_through_json_and_pickle():
    options = Options({"a": 1e-3, "flag": True, "none": None, "list": [1, "x"], "map": {"k": 2}})
    assert Options(json.loads(json.dumps(plain(options)))) == options
    assert pickle.loads(pickle.dumps(options)) == options
    assert plain(("name", options))[1] == dict(options)


def test_in_words():
    assert str(Options({"width": 64, "drop": 0.1})) == "width 64, drop 0.1"
    assert str(Options()) == ""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"a b": 1}, "must have a word"),
        ({1: 1}, "must have a word"),
        ({"x": float("nan")}, "a finite number"),
        ({"x": [float("inf")]}, "a finite number"),
        ({"x": object()}, "or a list or section of them"),
        ({"x": {"y": len}}, r"x\.y"),
    ],
)
def test_what_json_cannot_hold_is_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        Options(values)
