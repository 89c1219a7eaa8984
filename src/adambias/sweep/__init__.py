"""Sweeps: run what a plan leaves to do, here or on Ray, and tell the truth about how it ended."""
