"""``python -m dedupkit`` is the command ``dedupkit``."""

from dedupkit.cli import main

if __name__ == "__main__":
    main()
