"""The command line: ``altercell`` or ``python -m altercell``."""

from altercell.cli._app import app, main

__all__ = ["app", "main"]
