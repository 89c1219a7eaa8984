"""A file is replaced whole or not at all, and nothing is left behind."""

from __future__ import annotations

import os

import pytest

from adambias.core.files import ABANDONED, replacing


def test_the_old_content_stays_until_the_new_is_whole(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    for content, durable in (("old", True), ("new", False)):
        with replacing(path, durable=durable) as temporary:
            temporary.write_text(content)
            assert temporary.parent == path.parent
            assert ABANDONED.fullmatch(temporary.name)
            assert not path.exists() or path.read_text() == "old"

    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_body_leaves_the_old_content_and_nothing_else(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()

    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_what_another_made_meanwhile_stays_if_asked(tmp_path):
    path = tmp_path / "file.txt"
    with replacing(path, overwrite=False) as temporary:
        temporary.write_text("ours")
        path.write_text("theirs")

    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["file.txt"]
