"""``python -m adambias.cli`` is ``adambias``."""

from adambias.cli.main import main

main()
