"""The files of a scale: ``scales/<scale>.yaml`` lies over ``scales/common.yaml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adambias.core.errors import ABSENT, ConfigError

COMMON = "common"
OWN = ("prepare", "trial", "grids")
"""Sections of the scale's own file: the stages that take them depend on that file alone."""


class ScaleFiles:
    """What the two files of a scale hold, not validated yet.

    Parameters
    ----------
    path : path
        The file with the ``scale`` switch; scale files lie beside it in ``scales/``.
    name : str
        Name of the scale. A project without ``common.yaml`` has whole scales.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        folder = Path(path).parent / "scales"
        self.common, self.own = folder / f"{COMMON}.yaml", folder / f"{name}.yaml"
        self._common = read_yaml(self.common) if self.common.is_file() else {}
        self._own = read_yaml(self.own)
        for section in OWN:
            if section in self._common:
                raise ConfigError(
                    f"{self.common}: {section}", ABSENT, "belongs in the scales' own files"
                )

    def settings(self) -> dict[str, Any]:
        """Return the sections of the scale."""
        return _merge(self._common, self._own)

    def holder(self, key: str) -> Path:
        """Return the file that a key's value comes from, or else the one that should have it."""
        # A key is a path, as grids.h.trials[0].beta2; lists are replaced as wholes.
        names = re.sub(r"\[\d+\]", "", key).split(".")
        common = _depth(self._common, names) > _depth(self._own, names)
        return self.common if common else self.own


def scale_names(path: str | Path = "params.yaml") -> list[str]:
    """Return the names of the scales that lie beside ``params.yaml``."""
    names = {file.stem for file in (Path(path).parent / "scales").glob("*.yaml")}
    return sorted(names - {COMMON})


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the keys and values of a file.

    Raises
    ------
    ConfigError
        With one line that names the file and what is wrong with it.
    """
    # Here, so that a trial can be trained where there is no more than torch.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), ABSENT, "no such file, run from the project's root") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "unknown"
        allowed = f"is not valid YAML, line {line}: {error.problem}"
        raise ConfigError(str(path), ABSENT, allowed) from None
    except (YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(str(path), ABSENT, f"is not a text in YAML: {line}") from None
    if not isinstance(content, dict):
        raise ConfigError(str(path), content, "must hold keys and values")
    return content


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another, as a JSON merge patch (RFC 7396) does."""
    merged = dict(below)
    for key, value in above.items():
        beneath = below.get(key)
        if isinstance(value, Mapping) and isinstance(beneath, Mapping):
            merged[key] = _merge(beneath, value)
        elif value is None and key in below:
            del merged[key]
        else:
            merged[key] = value
    return merged


def _depth(settings: Any, names: list[str]) -> int:
    """Return how many of a key's names lead into the settings."""
    for depth, name in enumerate(names):
        if not isinstance(settings, Mapping) or name not in settings:
            return depth
        settings = settings[name]
    return len(names)
