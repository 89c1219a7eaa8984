"""The commands, in a small project folder."""

from sweep_project import _alone, project  # noqa: F401
