"""``python -m altercell``."""

from altercell.cli import main

if __name__ == "__main__":
    main()
