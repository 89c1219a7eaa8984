"""Sweeps: train the trials that a plan lacks, here or on Ray, and say how it ended."""
