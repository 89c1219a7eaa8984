"""Trainings in the tests run in one thread."""

from one_thread import _one_thread  # noqa: F401
