"""Named bytes in a folder or in an S3 bucket, written atomically.

Only this module knows whether the ledger is a folder or a bucket; built on :mod:`pyarrow.fs`.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pyarrow import fs

from adambias.core.errors import FolderError, LedgerError, StoreError
from adambias.core.files import ABANDONED, replacing

ABANDONED_SECONDS = 3600.0
"""Age from which a file that was being written has no writer any more."""
_MEND = "make it writable, free room"
_OF_A_FOLDER = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
"""Errors that are one folder's alone, if the root may be used."""
_REQUESTS = 16
"""Requests to an object store at a time."""


class Store:
    """A location of named byte strings.

    Parameters
    ----------
    filesystem : pyarrow.fs.FileSystem
        Where the bytes lie.
    root : str
        Path within the file system.
    uri : str
        The location as an absolute path or a URI, which another process can open.
    """

    def __init__(self, filesystem: fs.FileSystem, root: str, uri: str) -> None:
        self.filesystem, self.root, self.uri = filesystem, root.rstrip("/"), uri.rstrip("/")
        self._local = isinstance(filesystem, fs.LocalFileSystem)

    @classmethod
    def open(cls, location: str | os.PathLike[str]) -> Store:
        """Open a path, or a URI such as ``s3://bucket/folder?endpoint_override=…``.

        Raises
        ------
        LedgerError
            If the URI cannot be understood.
        """
        text = os.fspath(location)
        if "://" not in text:
            path = str(Path(text).absolute())
            return cls(fs.LocalFileSystem(), path, path)
        try:
            filesystem, root = fs.FileSystem.from_uri(text)
        except (ValueError, OSError, NotImplementedError) as error:
            reason = str(error).replace(text, _shown(text))
            raise LedgerError(f"ADAMBIAS_STORE = {_shown(text)}: {reason}") from None
        # A file:// URI becomes a plain path, so that one ledger has one name.
        local = isinstance(filesystem, fs.LocalFileSystem)
        return cls(filesystem, root, root if local else text)

    def where(self, name: str = "") -> str:
        """Return the location of ``name`` for people: without the URI's secrets and options."""
        return f"{_shown(self.uri)}/{name}".rstrip("/")

    def read(self, name: str) -> bytes:
        """Return the bytes of ``name``.

        Raises
        ------
        FileNotFoundError
            If there is none.
        StoreError
            If the location cannot be reached.
        """
        with self._reaching("read", "reach it", name):
            if self._local:
                return Path(self.root, name).read_bytes()
            with self.filesystem.open_input_stream(f"{self.root}/{name}") as stream:
                return bytes(stream.read())

    def read_each(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """Yield the bytes of each name in turn, None where there is none, or none to be read.

        From an object store many are fetched at once, a limited number ahead of their use.
        """
        if self._local:
            yield from map(self._read_if_there, names)
            return
        remaining = iter(names)
        # In batches: pool.map alone would fetch a whole ledger ahead of its first use.
        with ThreadPoolExecutor(_REQUESTS) as pool:
            while batch := list(itertools.islice(remaining, 8 * _REQUESTS)):
                yield from pool.map(self._read_if_there, batch)

    def _read_if_there(self, name: str) -> bytes | None:
        try:
            return self.read(name)
        except (FileNotFoundError, FolderError):  # the latter is named by unusable
            return None

    def write(self, name: str, content: bytes) -> None:
        """Replace ``name`` by ``content``, whole or not at all.

        Locally a temporary file in the same folder is flushed to disk and renamed; an object
        store makes an upload visible only once it is complete.

        Raises
        ------
        StoreError
            If the location cannot be written.
        """
        with self._reaching("written", _MEND, name):
            if self._local:
                with replacing(Path(self.root, name), durable=True) as temporary:
                    temporary.write_bytes(content)
                return
            # In a thread, because Ctrl-C between opening and writing would leave an empty object.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(self._upload, name, content).result()

    @contextlib.contextmanager
    def _reaching(self, verb: str, mend: str, name: str) -> Iterator[None]:
        """Turn the system's errors into one line that names the location and the mend."""
        try:
            yield
        except OSError as error:
            if verb == "read" and isinstance(error, FileNotFoundError):
                raise  # that there is none is an answer
            # Errors of object stores run over several lines.
            reason = " ".join((error.strerror or str(error)).split())
            folder = name.rpartition("/")[0]
            if folder and self._local and error.errno in _OF_A_FOLDER and self._is_usable(verb):
                raise FolderError(
                    f"{self.where(folder)}: cannot be {verb} ({reason}): ask its owner for "
                    "permission, or take it out of the ledger"
                ) from None
            raise StoreError(
                f"ADAMBIAS_STORE = {self.where()}: cannot be {verb} ({reason}): {mend}, or give "
                "another location"
            ) from None

    def _is_usable(self, verb: str) -> bool:
        """Tell whether the root may be used, so that what cannot be is a folder's own trouble."""
        mode = os.R_OK | os.X_OK | (os.W_OK if verb == "written" else 0)
        return os.path.isdir(self.root) and os.access(self.root, mode)

    def unusable(self, folders: Iterable[str]) -> Iterator[str]:
        """Yield a line for each of some folders that is there and cannot be read.

        An object store has permissions for all of it, or none.
        """
        for folder in folders if self._local else ():
            try:
                with self._reaching("read", "reach it", f"{folder}/"):
                    os.listdir(f"{self.root}/{folder}")
            except FileNotFoundError:
                continue
            except FolderError as error:
                yield str(error)

    def _upload(self, name: str, content: bytes) -> None:
        with self.filesystem.open_output_stream(f"{self.root}/{name}") as stream:
            stream.write(content)

    def exist(self, names: Iterable[str]) -> list[bool]:
        """Tell for each name whether it exists."""
        if self._local:
            return [os.path.exists(f"{self.root}/{name}") for name in names]
        paths = [f"{self.root}/{name}" for name in names]

        def found(path: str) -> bool:
            return bool(self.filesystem.get_file_info(path).type == fs.FileType.File)

        with ThreadPoolExecutor(_REQUESTS) as pool:
            return list(pool.map(found, paths))

    def move(self, name: str, to: str) -> None:
        """Rename ``name`` if it is there, replacing ``to``."""
        if self.exist([name])[0]:
            # Another driver may have moved or deleted it since.
            with self._reaching("written", _MEND, to), contextlib.suppress(FileNotFoundError):
                self.filesystem.move(f"{self.root}/{name}", f"{self.root}/{to}")

    def delete(self, names: Iterable[str]) -> None:
        """Delete what there is of ``names``."""
        names = list(names)
        for name, found in zip(names, self.exist(names), strict=True):
            if found:
                with self._reaching("written", _MEND, name), contextlib.suppress(FileNotFoundError):
                    self.filesystem.delete_file(f"{self.root}/{name}")

    def delete_folder(self, name: str) -> None:
        """Delete a folder and what is in it, if it is there."""
        path = f"{self.root}/{name}"
        if self.filesystem.get_file_info(path).type == fs.FileType.Directory:
            self.filesystem.delete_dir(path)

    def clear(self, folder: str) -> None:
        """Delete what writers that were killed have left in a folder.

        An object store has nothing of the kind: it shows an upload once it is complete.
        """
        if not self._local:
            return
        for path in Path(self.root, folder).glob(".*"):
            with contextlib.suppress(OSError):  # another may be faster, or still at work
                age = time.time() - path.stat().st_mtime
                if ABANDONED.fullmatch(path.name) and age > ABANDONED_SECONDS:
                    path.unlink()

    def age(self, folder: str) -> float:
        """Return the seconds since anything in a folder was written, 0 if that is not known."""
        path = f"{self.root}/{folder}"
        selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
        found = [self.filesystem.get_file_info(path), *self.filesystem.get_file_info(selector)]
        times = [info.mtime.timestamp() for info in found if info.mtime]
        return time.time() - max(times, default=time.time())

    def entries(self) -> list[str]:
        """List the names directly under the root."""
        return [info.base_name for info in self._listing()]

    def folders(self, under: str = "") -> list[str]:
        """List the folders directly under the root, or under one of its folders."""
        return [i.base_name for i in self._listing(under) if i.type == fs.FileType.Directory]

    def _listing(self, under: str = "") -> list[Any]:
        where = f"{self.root}/{under}".rstrip("/")
        return list(self.filesystem.get_file_info(fs.FileSelector(where, allow_not_found=True)))


def _shown(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.partition('?')[0].rpartition('@')[2]}" if separator else uri
