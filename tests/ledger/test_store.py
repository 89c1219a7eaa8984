from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adambias.core.errors import LedgerError
from adambias.ledger.store import Store

WRITER = """
import os, signal, sys
from adambias.ledger.store import Store

signal.signal(signal.SIGINT, signal.default_int_handler)
store = Store.open(sys.argv[1])
for turn in range(10**9):
    store.write("file", b"ab"[turn % 2 : turn % 2 + 1] * 3_000_000)
    if turn == 1:
        print("writing", flush=True)
"""


@pytest.fixture
def store(location) -> Store:
    return Store.open(location)


def test_what_is_written_is_read(store):
    store.write("a/b", b"content")
    store.write("a/b", b"other")

    assert store.read("a/b") == b"other"
    assert store.exist(["a/b", "a/c", "a"])[:2] == [True, False]


def test_what_is_not_there(store):
    with pytest.raises(FileNotFoundError):
        store.read("a/b")

    assert store.exist([]) == []
    assert store.entries() == store.folders() == []
    store.move("a/b", "a/c")
    store.delete(["a/b"])
    store.delete_folder("a")


def test_many_are_read_in_their_order_with_none_for_what_is_missing(store):
    for i in range(0, 140, 7):
        store.write(f"{i:03}/x", str(i).encode())

    contents = list(store.read_each(f"{i:03}/x" for i in range(140)))

    assert contents == [None if i % 7 else str(i).encode() for i in range(140)]


def test_entries_are_files_and_folders_under_the_root(store):
    store.write("trial/done.json", b"{}")
    store.write("file", b"")

    assert sorted(store.entries()) == ["file", "trial"]
    assert store.folders() == ["trial"]


def test_a_move_replaces(store):
    store.write("a/new", b"new")
    store.write("a/old", b"old")

    store.move("a/new", "a/old")

    assert store.read("a/old") == b"new"
    assert store.exist(["a/new"]) == [False]


def test_a_deletion_takes_only_what_is_named(store):
    for name in ("a/x", "a/y", "b/x"):
        store.write(name, b"")

    store.delete(["a/x", "a/nothing"])
    store.delete_folder("b")

    assert store.exist(["a/x", "a/y", "b/x"]) == [False, True, False]


def test_another_process_opens_the_same_place(store):
    store.write("a", b"content")

    assert Store.open(store.uri).read("a") == b"content"
    assert Store.open(pickle.loads(pickle.dumps(store.uri))).entries() == ["a"]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_writer_stopped_at_any_moment_leaves_a_whole_content(sent, store):
    command = [sys.executable, "-c", WRITER, store.uri]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert writer.stdout is not None
    with writer:
        assert writer.stdout.readline() == "writing\n"
        time.sleep(0.05)
        writer.send_signal(sent)
        assert writer.wait(timeout=30) != 0

    content = store.read("file")
    assert content in (b"a" * 3_000_000, b"b" * 3_000_000)


def test_a_failing_write_leaves_the_old_content(tmp_path):
    store = Store.open(tmp_path)
    store.write("a/b", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.write("a/b", bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert store.read("a/b") == b"old"
    assert os.listdir(tmp_path / "a") == ["b"]


def test_a_write_to_a_bucket_that_is_not_there_says_so(s3):
    store = Store.open(s3.replace("ledgers", "nobucket").format("x"))

    with pytest.raises(OSError, match="NO_SUCH_BUCKET"):
        store.write("a", b"content")


def test_only_what_a_killed_writer_left_long_ago_is_cleared(tmp_path):
    store = Store.open(tmp_path)
    names = (".checkpoint.pt.0123abcd", ".log.txt.0123abcd", ".mine", "checkpoint.pt")
    for name in names:
        store.write(f"trial/{name}", b"content")
        if name != ".log.txt.0123abcd":
            os.utime(tmp_path / "trial" / name, (0, 0))

    store.clear("trial")
    store.clear("nothing")

    assert sorted(os.listdir(tmp_path / "trial")) == [".log.txt.0123abcd", ".mine", "checkpoint.pt"]


def test_a_folder_is_as_old_as_the_newest_in_it(store):
    store.write("a/b/old", b"")
    store.write("a/b/c/new", b"")

    assert store.folders("a") == ["b"]
    assert store.folders("nothing") == []
    assert 0 <= store.age("a") < 60
    assert store.age("nothing") < 1
    if "://" not in store.uri:
        for path in (*Path(store.root).rglob("*"), Path(store.root)):
            os.utime(path, (0, 0))
        assert store.age("a") > 1e9


def test_a_path_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert Store.open("runs").uri == str(tmp_path / "runs")
    assert Store.open(f"{tmp_path.as_uri()}/runs").uri == str(tmp_path / "runs")


def test_a_location_is_shown_without_its_secrets_and_options():
    store = Store.open("s3://key:secret@bucket/runs?region=us-east-1&endpoint_override=host:1")

    assert store.where() == "s3://bucket/runs"
    assert store.where("a/done.json") == "s3://bucket/runs/a/done.json"
    assert "secret" in store.uri


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("nowhere://bucket/x", "ADAMBIAS_STORE = nowhere://bucket/x: "),
        ("s3://k:secret@bucket/x?wrong=1", "ADAMBIAS_STORE = s3://bucket/x: "),
    ],
)
def test_a_uri_that_cannot_be_understood_is_refused(uri, shown):
    with pytest.raises(LedgerError) as caught:
        Store.open(uri)

    assert str(caught.value).startswith(shown)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
