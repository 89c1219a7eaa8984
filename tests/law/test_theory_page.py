"""docs/theory.md: its code runs, and its table is the one computed."""

import re
from pathlib import Path

import pytest

from adambias.config import load_params
from adambias.studies import bilinear

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("code", CODE, ids=range(len(CODE)))
def test_code(code):
    assert "assert" in code
    exec(code, {})


def test_table_1():
    settings = load_params(ROOT / "params.yaml", "laptop").scale.bilinear.table1
    assert bilinear.table1_markdown(bilinear.table1_cells(settings)) in PAGE
