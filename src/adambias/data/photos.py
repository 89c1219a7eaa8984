"""Which way up is a patch of a photograph: a problem in colour with nothing to download."""

from __future__ import annotations

import hashlib
from typing import cast

import numpy as np

from adambias.config import DatasetSpec
from adambias.core.errors import DataError
from adambias.core.extras import need
from adambias.data.manifest import settings
from adambias.data.sources import Arrays, subset

CLASSES = ["0°", "90°", "180°", "270°"]
TILE = 16
"""Pixels along a side of a tile, after the photograph was halved."""

PIXELS = {
    "china.jpg": "a4f55cdd1f53f4d0cef7dc810c7bdab0a0c95f92f0e18ff9c2810105e0af8776",
    "flower.jpg": "da0dc0e16051b4a540ed1d1ca0c1ad695381c0e51749dea4c857c21058909175",
}
"""SHA-256 of each halved photograph, shape (208, 320, 3), uint8.

libjpeg-turbo, in every wheel of Pillow, gives these pixels. Another JPEG library (IJG 9a) gives one
value in ten thousand another last digit, which halving does not mend, and so another dataset.
"""


def photos(spec: DatasetSpec) -> tuple[Arrays, list[str]]:
    """Return patches of scikit-learn's two sample photographs; the class is the turn of a patch.

    A photograph is halved, by the mean over 2 x 2 pixels, and cut into 13 x 20 tiles of 16 x 16
    pixels that do not overlap. A random half of the tiles is for training. Each tile counts as it
    is and mirrored, and each of the two in its four rotations: 2,080 images a split. As tiles are
    split before they are turned, no pixel is in both splits. The images of one tile resemble each
    other: the 2,080 test images come from 260 tiles.

    Raises
    ------
    DataError
        If the photographs' pixels are not the expected ones.
    """
    rng = np.random.default_rng([spec.seed, 1])
    tiles: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for name in PIXELS:
        cut = _tiles(_halved(name))
        order = rng.permutation(len(cut))
        tiles["train"].append(cut[order[: len(cut) // 2]])
        tiles["test"].append(cut[order[len(cut) // 2 :]])
    arrays: Arrays = {}
    for split, size in (("train", settings(spec)["train_size"]), ("test", spec.test_size)):
        images, labels = _turned(np.concatenate(tiles[split]))
        chosen = subset(labels, cast("int | None", size), f"{split}_size", rng)
        arrays[f"{split}_images"] = images[chosen].transpose(0, 3, 1, 2)
        arrays[f"{split}_labels"] = labels[chosen]
    return arrays, CLASSES


def _halved(name: str) -> np.ndarray:
    """Return a photograph at half its size, cut to whole tiles."""
    need("PIL")  # which scikit-learn decodes them with
    from sklearn.datasets import load_sample_image

    full = load_sample_image(name)
    height, width = (side // (2 * TILE) * TILE for side in full.shape[:2])
    squares = full[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    halved = ((squares.sum((1, 3), dtype=np.uint16) + 2) // 4).astype(np.uint8)
    found = hashlib.sha256(halved.tobytes()).hexdigest()
    if found != PIXELS[name]:
        raise DataError(
            f"scikit-learn's {name}: its pixels have SHA-256 {found[:12]}…, expected "
            f"{PIXELS[name][:12]}…; install Pillow from a wheel, which decodes JPEG as expected"
        )
    return halved


def _tiles(photograph: np.ndarray) -> np.ndarray:
    """Cut (H, W, 3) into tiles, shape (N, TILE, TILE, 3)."""
    rows, columns = (side // TILE for side in photograph.shape[:2])
    grid = photograph.reshape(rows, TILE, columns, TILE, 3).swapaxes(1, 2)
    return grid.reshape(-1, TILE, TILE, 3)


def _turned(tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return tiles and their mirror images in the four rotations, and the quarter turns of each."""
    upright = np.concatenate([tiles, tiles[:, :, ::-1]])
    turns = range(len(CLASSES))
    images = np.concatenate([np.rot90(upright, turn, axes=(1, 2)) for turn in turns])
    return images, np.repeat(turns, len(upright))
