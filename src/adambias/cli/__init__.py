"""The command ``adambias``."""
