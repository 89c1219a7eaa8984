"""Figures, drawn from tables only: one module for each, found through the registry."""

from __future__ import annotations

from adambias.core.lazy import lazy

__getattr__, __dir__ = lazy(__name__, {"Tables": "tables", "Missing": "tables", "style": "style:"})
