"""Images in a class-per-folder tree or archive, read without unpacking to disk."""

from __future__ import annotations

import io
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from adambias.core.errors import DataError
from adambias.core.extras import need

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
GREY = ("1", "L")
DEEP = ("I", "F")
"""First letters of Pillow's modes of 16 and 32 bits, which it cuts off at 255."""
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, LZMAError, zlib.error, EOFError, OSError)


@dataclass(frozen=True, kw_only=True, order=True)
class ImageFile:
    """An image: its split (``train``, ``test`` or none), class, and path in the tree."""

    split: str
    label: str
    path: str


def _image_file(path: str) -> ImageFile | None:
    parts = PurePosixPath(path).parts
    if len(parts) < 2 or PurePosixPath(path).suffix.lower() not in SUFFIXES:
        return None
    split = parts[-3] if len(parts) > 2 and parts[-3] in ("train", "test") else ""
    return ImageFile(split=split, label=parts[-2], path=path)


def _refuse_link(archive: Path, name: str) -> None:
    """Refuse what is no file of its own: skipped in silence, a class would lose images."""
    raise DataError(
        f"{archive}: member {name!r} is a link or device; use an archive of plain files"
    )


def _tar_members(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            if member.isfile():
                yield member.name, lambda m=member: tar.extractfile(m).read()  # type: ignore[misc, union-attr]
            elif not member.isdir():
                _refuse_link(archive, member.name)


def _zip_members(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                _refuse_link(archive, info.filename)
            if not info.is_dir():
                yield info.filename, lambda i=info: file.read(i)  # type: ignore[misc]


def _tree_members(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for path in _files(folder):
        yield path.relative_to(folder).as_posix(), path.read_bytes


def _files(folder: Path, within: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the files of a tree in the order of their paths, through links, which rglob skips."""
    real = folder.resolve()
    if real in within:
        raise DataError(f"{folder}: is a link to a folder that it is in; remove it")
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files(path, (*within, real))
        elif path.is_file():
            yield path
        elif path.is_symlink():
            raise DataError(f"{path}: is a link to nothing; mend or remove it")


def members(source: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the path of each file of a tree or archive, with a function that reads it.

    The function must be called before the next file is asked for.

    Raises
    ------
    DataError
        If ``source`` is absent or damaged, or holds links.
    """
    if source.is_dir():
        yield from _tree_members(source)
        return
    if not source.exists():
        raise DataError(f"{source}: no such folder or archive; correct the dataset's path")
    read = _zip_members if zipfile.is_zipfile(source) else _tar_members
    try:
        yield from read(source)
    except _DAMAGE as error:
        raise DataError(
            f"{source}: cannot be read as a tar or zip archive ({error}); fetch it again"
        ) from None


def list_images(source: Path) -> list[ImageFile]:
    """List the images of a tree or archive, sorted by split, class and path.

    Raises
    ------
    DataError
        If there are none.
    """
    found = [file for path, _ in members(source) if (file := _image_file(path)) is not None]
    if not found:
        raise DataError(
            f"{source}: holds no images; expected <class>/<image> or train/<class>/<image>"
        )
    return sorted(found)


def read_images(source: Path, wanted: Sequence[ImageFile]) -> np.ndarray:
    """Decode images, in the order wanted.

    Returns
    -------
    array, shape (len(wanted), channels, height, width), uint8
        One channel if every image of the source is greyscale, three if one is not: which images
        are wanted makes no difference.

    Raises
    ------
    DataError
        If an image is damaged, holds more than 8 bits a channel, or is of another size than the
        first one.
    """
    positions = {file.path: i for i, file in enumerate(wanted)}
    images: np.ndarray | None = None
    coloured = False
    for path, read in _with_progress(source, len(positions)):
        if path in positions:
            pixels = _decode(source, path, read())
            coloured = coloured or len(pixels) == 3
            images = _with_room(images, len(wanted), pixels)
            _require_size(source, path, pixels, images)
            images[positions.pop(path)] = pixels
        elif not coloured and _image_file(path) is not None:
            coloured = not _is_grey(source, path, read())
        if coloured and not positions:
            break
    if images is None or positions:
        raise DataError(f"{source}: {len(positions)} listed images are gone; prepare it again")
    return _three_channels(images) if coloured else images


def _with_room(images: np.ndarray | None, count: int, pixels: np.ndarray) -> np.ndarray:
    """Return an array that takes ``pixels`` as well: with three channels if they have."""
    if images is None:
        return np.empty((count, *pixels.shape), dtype=np.uint8)
    return _three_channels(images) if len(pixels) == 3 else images


def _three_channels(images: np.ndarray) -> np.ndarray:
    """Return images in which grey is a colour too."""
    return images if images.shape[1] == 3 else np.repeat(images, 3, axis=1)


def _require_size(source: Path, path: str, pixels: np.ndarray, images: np.ndarray) -> None:
    if pixels.shape[1:] != images.shape[2:]:
        raise DataError(
            f"{source}: {path} has {pixels.shape[1:]} pixels, expected {images.shape[2:]}; "
            "resize the images to one size"
        )


def _is_grey(source: Path, path: str, content: bytes) -> bool:
    with _opened(source, path, content) as image:
        return image.mode in GREY


def _decode(source: Path, path: str, content: bytes) -> np.ndarray:
    """Return the pixels (channels, height, width): one channel for a greyscale image."""
    with _opened(source, path, content) as image:
        if image.mode in GREY:
            return np.asarray(image.convert("L"))[None]
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


@contextmanager
def _opened(source: Path, path: str, content: bytes) -> Iterator[Image]:
    """Open an image, and refuse one that cannot be read or would lose its pixels' values."""
    need("PIL")
    from PIL import Image, UnidentifiedImageError

    damage = (UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError)
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode.startswith(DEEP):
                raise DataError(
                    f"{source}: {path} has pixels of mode {image.mode}, more than 8 bits, which "
                    "would be cut off; convert the images to 8 bits a channel"
                )
            yield image
    except (*damage, OSError) as error:
        raise DataError(f"{source}: {path} is not a readable image ({error})") from None


def _with_progress(source: Path, total: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the members that are images, with a progress bar on a terminal's standard error."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(f"Reading {source.name}", total=total)
        for path, read in members(source):
            yield path, read
            progress.advance(task, _image_file(path) is not None)
