"""Images in a class-per-folder tree or archive, read safely and without unpacking to disk."""

from __future__ import annotations

import io
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath

import numpy as np

from adambias.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
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


def _refuse_unsafe(archive: Path, name: str, is_link: bool) -> None:
    """Refuse links, absolute paths and paths that climb out of the archive."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if is_link or pure.is_absolute() or ".." in pure.parts or ":" in pure.parts[0:1]:
        what = "a link or device" if is_link else "a path outside the archive"
        raise DataError(f"{archive}: member {name!r} is {what}; use an archive of plain files")


def _tar_members(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            _refuse_unsafe(archive, member.name, not (member.isfile() or member.isdir()))
            if member.isfile():
                yield member.name, lambda m=member: tar.extractfile(m).read()  # type: ignore[misc, union-attr]


def _zip_members(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            _refuse_unsafe(archive, info.filename, stat.S_ISLNK(info.external_attr >> 16))
            if not info.is_dir():
                yield info.filename, lambda i=info: file.read(i)  # type: ignore[misc]


def _tree_members(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes


def members(source: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the path of each file of a tree or archive, with a function that reads it.

    The function must be called before the next file is asked for.

    Raises
    ------
    DataError
        If ``source`` is absent, damaged or unsafe.
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
        Greyscale images have one channel, all others three.

    Raises
    ------
    DataError
        If an image is damaged, or of another size than the first one.
    """
    positions = {file.path: i for i, file in enumerate(wanted)}
    images: np.ndarray | None = None
    mode = ""
    for path, read in _with_progress(source, len(positions)):
        if path not in positions:
            continue
        pixels, mode = _decode(source, path, read(), mode)
        if images is None:
            images = np.empty((len(wanted), *pixels.shape), dtype=np.uint8)
        if pixels.shape != images.shape[1:]:
            raise DataError(
                f"{source}: {path} has shape {pixels.shape}, expected {images.shape[1:]}; "
                "resize the images to one size"
            )
        images[positions.pop(path)] = pixels
        if not positions:
            break
    if images is None or positions:
        raise DataError(f"{source}: {len(positions)} listed images are gone; prepare it again")
    return images


def _decode(source: Path, path: str, content: bytes, mode: str) -> tuple[np.ndarray, str]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            mode = mode or ("L" if image.mode in ("1", "L") else "RGB")
            pixels = np.asarray(image.convert(mode))
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        ValueError,
        SyntaxError,
    ) as error:
        raise DataError(f"{source}: {path} is not a readable image ({error})") from None
    return (pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)), mode


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
