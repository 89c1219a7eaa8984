"""Text as tokens: each place of a sequence is to be followed by the next."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import numpy as np

from adambias.config import DatasetSpec
from adambias.core.errors import ConfigError, DataError, choose_from
from adambias.core.validation import integer
from adambias.data.manifest import TENSORS, settings
from adambias.data.sources import Arrays

LENGTH = 32
"""Tokens of a sequence, unless the option ``length`` says otherwise."""
_BYTES = 256


def text(
    spec: DatasetSpec,
    *,
    length: int = LENGTH,
    tokens: Literal["characters", "bytes"] = "characters",
) -> tuple[Arrays, list[str]]:
    """Return sequences of a text, each to be continued by one token at every place.

    Without a ``path`` the text is what Python's ``help()`` says of the language, which every
    Python has; it differs a little from version to version, and the data's digest with it.

    Parameters
    ----------
    spec : DatasetSpec
        ``path`` is a text in UTF-8. The text is cut into sequences; ``train_size`` and
        ``test_size`` are drawn of its first nine tenths and of the rest.
    length : int
        Tokens of a sequence.
    tokens : {"characters", "bytes"}
        Characters that occur in the text, or the 256 bytes of its UTF-8.
    """
    length = integer("options.length", length, 1)
    if tokens not in ("characters", "bytes"):
        raise ConfigError("options.tokens", tokens, choose_from(("characters", "bytes"), tokens))
    content = _read(spec.path) if spec.path else _python_topics()
    if tokens == "bytes":
        names = [str(i) for i in range(_BYTES)]
        numbers = np.frombuffer(content.encode(), np.uint8).astype(np.int64)
    else:
        codes = np.array([ord(letter) for letter in content], dtype=np.int64)
        letters, numbers = np.unique(codes, return_inverse=True)
        names = [chr(code) for code in letters]
    whole = len(numbers) - 1
    starts = np.arange(whole // length) * length
    cut = 9 * len(starts) // 10
    rng = np.random.default_rng([spec.seed, 1])
    parts = [
        _chosen(starts[:cut], cast(int, settings(spec)["train_size"]), "train_size", rng),
        _chosen(starts[cut:], spec.test_size, "test_size", rng),
    ]
    places = [chosen[:, None] + np.arange(length) for chosen in parts]
    arrays = [numbers[place + shift] for place in places for shift in (0, 1)]
    return dict(zip(TENSORS, arrays, strict=True)), names


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text in UTF-8 ({error})") from None


def _python_topics() -> str:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _chosen(starts: np.ndarray, size: int | None, key: str, rng: np.random.Generator) -> np.ndarray:
    if size is None:
        return starts
    if size > len(starts) or not len(starts):
        raise ConfigError(key, size, f"must be at most {len(starts)}, the sequences there are")
    return np.sort(rng.permutation(starts)[:size])
