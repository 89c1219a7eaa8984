from __future__ import annotations

import json
import os
import shlex
import urllib.parse
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from adambias.core.errors import ConfigError
from adambias.core.options import Options
from adambias.core.validation import (
    Decay,
    Entries,
    Names,
    NotEmpty,
    OneOf,
    Pair,
    Positive,
    Range,
    Validated,
    build,
)


@dataclass(frozen=True, kw_only=True)
class Inner(Validated):
    size: Annotated[int, Positive] = 1


@dataclass(frozen=True, kw_only=True)
class Outer(Validated):
    name: Annotated[str, OneOf(("alpha", "beta"))] = "alpha"
    kind: Literal["x", "y"] = "x"
    flag: bool = False
    count: Annotated[int | None, Range(at_least=1)] = None
    share: Annotated[float, Decay] = 0.5
    values: Annotated[tuple[float, ...], NotEmpty, Positive] = (1.0,)
    inner: Inner = field(default_factory=Inner)
    table: dict[str, Inner] = field(default_factory=dict)
    pair: Annotated[tuple[float, ...], Pair] = (0.0, 1.0)
    steps: Annotated[tuple[int, ...], Entries(at_least=2)] = (1, 2)
    anything: Any = None
    weight: float = 1.0
    named: Annotated[dict[str, Inner], Names()] = field(default_factory=dict)
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, kw_only=True)
class Demanding(Validated):
    needed: float


def test_values_are_stored_in_their_canonical_type():
    outer = Outer(share=0, values=[1, 2], inner={"size": 3}, table={"a": {"size": 4}})

    assert (outer.share, type(outer.share)) == (0.0, float)
    assert outer.values == (1.0, 2.0)
    assert outer.inner == Inner(size=3)
    assert outer.table == {"a": Inner(size=4)}


def test_numpys_scalars_are_stored_as_pythons():
    given = {"share": np.float64(0.25), "count": np.int64(3), "flag": np.bool_(True)}
    given |= {"values": np.array([1, 2]), "steps": np.array([3, 4]), "kind": np.str_("y")}

    outer = Outer(**given, inner={"size": np.uint8(5)}, table={"a": {"size": np.int32(6)}})

    python = {"share": 0.25, "count": 3, "flag": True, "values": [1, 2], "steps": [3, 4]}
    assert outer == Outer(**python, kind="y", inner={"size": 5}, table={"a": {"size": 6}})
    kept = (outer.share, outer.count, outer.flag, outer.values[0], outer.steps[0], outer.kind)
    assert [type(value) for value in kept] == [float, int, bool, float, int, str]
    assert type(outer.inner.size) is int


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": np.bool_(True)}, f"count = {np.True_!r}: must be an integer"),
        ({"count": np.float64(2.0)}, f"count = {np.float64(2.0)!r}: must be an integer"),
        ({"share": np.bool_(False)}, f"share = {np.False_!r}: must be a number"),
        ({"share": np.float32("nan")}, f"share = {np.float32('nan')!r}: must be a finite number"),
        ({"flag": np.int64(1)}, f"flag = {np.int64(1)!r}: must be true or false"),
        ({"flag": np.array([True])}, "flag = array([ True]): must be true or false"),
        ({"name": "alpa"}, "name = 'alpa': must be one of alpha, beta (did you mean alpha?)"),
        ({"name": 3}, "name = 3: must be a string"),
        ({"kind": "z"}, "kind = 'z': must be one of x, y"),
        ({"flag": 1}, "flag = 1: must be true or false"),
        ({"flag": "yes"}, "flag = 'yes': must be true or false"),
        ({"count": True}, "count = True: must be an integer"),
        ({"count": 0}, "count = 0: must be >= 1"),
        ({"count": 2.0}, "count = 2.0: must be an integer"),
        ({"share": True}, "share = True: must be a number"),
        ({"share": 1.0}, "share = 1.0: must be >= 0 and < 1"),
        ({"share": float("nan")}, "share = nan: must be a finite number"),
        ({"share": float("inf")}, "share = inf: must be a finite number"),
        ({"share": None}, "share = None: must be a number"),
        ({"values": []}, "values = []: must have at least 1 entry"),
        ({"pair": [1.0]}, "pair = [1.0]: must have 2 entries"),
        ({"pair": [1.0, 2.0, 3.0]}, "pair = [1.0, 2.0, 3.0]: must have 2 entries"),
        ({"steps": [1]}, "steps = [1]: must have at least 2 entries"),
        ({"values": 1.0}, "values = 1.0: must be a list"),
        ({"values": "12"}, "values = '12': must be a list"),
        ({"values": [1.0, "a"]}, "values[1] = 'a': must be a number"),
        ({"values": [1.0, -2.0]}, "values = -2.0: must be > 0"),
        ({"inner": {"size": 0}}, "inner.size = 0: must be > 0"),
        ({"inner": {"sise": 1}}, "inner.sise = 1: unknown key, must be one of size"),
        ({"inner": 3}, "inner = 3: must be a section with keys and values"),
        ({"table": {"a": {"size": "1"}}}, "table.a.size = '1': must be an integer (a string"),
        ({"table": [1]}, "table = [1]: must be a section with keys and values"),
        ({"nam": "x"}, "nam = 'x': unknown key, must be one of name, kind"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(given, message):
    with pytest.raises(ConfigError) as caught:
        build(Outer, given)

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match=r"^section\.needed: is missing, give it a value$"):
        build(Demanding, {}, "section.")


def test_a_null_is_a_value_and_not_a_missing_key():
    with pytest.raises(ConfigError, match=r"^needed = None: must be a number$"):
        build(Demanding, {"needed": None})


def test_a_section_has_to_be_a_mapping():
    with pytest.raises(ConfigError, match=r"^section = \[1\]: must be a section"):
        build(Outer, [1], "section.")


def test_an_error_is_a_value_error_too():
    with pytest.raises(ValueError, match="share"):
        Outer(share=2)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_decay_is_accepted_exactly_from_0_up_to_1(value):
    accepted = True
    try:
        Outer(share=value)
    except ConfigError:
        accepted = False

    assert accepted == (0 <= value < 1)


@given(st.integers(min_value=-(2**60), max_value=2**60))
def test_an_integer_is_taken_where_a_number_is_asked_for(value):
    assert Demanding(needed=value).needed == float(value)
    assert isinstance(Demanding(needed=value).needed, float)


def refusal(**given: Any) -> str:
    """Build, and return the one line if that is refused, else nothing."""
    try:
        build(Outer, given)
    except ConfigError as error:
        line = str(error)
        assert len(line.splitlines()) == 1
        return line
    return ""


@given(st.text())
@example("a b")
@example("$(touch x)")
@example("it's")
@example("a/b")
@example("..")
@example("-rf")
@example("h.trials")
@example("x" * 101)
@example("a.b")
@example("2d")
def test_a_name_that_is_taken_is_taken_everywhere_as_it_is(name):
    line = refusal(named={name: {}})
    if line:
        assert line.startswith("named = ")
        assert "a name must be letters, digits, _ and -" in line
        return
    assert shlex.split(f"dvc repro sweep@{name}") == ["dvc", "repro", f"sweep@{name}"]
    assert urllib.parse.quote(name, safe="") == name
    assert Path(name).name == name
    assert YAML(typ="safe").load(f"{{{name}x: 1}}") == {f"{name}x": 1}
    assert len(f"{name}.parquet".encode()) < 255


def test_names_that_only_capitals_tell_apart_are_refused():
    line = "named = 'Beta2': differs from beta2 in capitals only, which not every file system sees"
    assert refusal(named={"beta2": {}, "Beta2": {}}) == line


@pytest.mark.parametrize("name", [None, True, 7, 1e5])
def test_a_name_that_yaml_reads_as_something_else_is_refused(name):
    assert refusal(table={name: {}}) == (
        f"table = {name}: must be a word where it names an entry: write it in quotes"
    )


@given(st.integers() | st.integers(2**60, 2**70) | st.integers(-(2**70), -(2**60)))
@example(2**63)
@example(10**400)
def test_an_integer_that_is_taken_fits_tables_and_generators(value):
    taken = not refusal(count=value, options={"width": value})
    assert taken == (1 <= value < 2**63)
    if taken:
        assert np.array([value], dtype=np.int64)[0] == value
        assert torch.Generator().manual_seed(value).initial_seed() == value
    in_options = not refusal(options={"width": value})
    assert in_options == (-(2**63) <= value < 2**63)


@given(st.fractions() | st.integers() | st.floats())
@example(10**400)
@example(Fraction(10**400, 3))
@example(-(10**400))
def test_a_number_that_is_taken_is_a_finite_float_and_json(value):
    line = refusal(weight=value)
    assert line in ("", f"weight = {value!r}: must be a finite number")
    if not line:
        stored = build(Outer, {"weight": value}).weight
        assert json.loads(json.dumps(stored, allow_nan=False)) == stored


@given(st.text(st.characters()))
@example("\ud800")
@example("a\0b")
def test_a_text_that_is_taken_can_be_written_and_be_a_path(text):
    if refusal(options={"text": text}):
        assert "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)
        return
    assert b"\0" not in os.fsencode(text)
