"""``python -m pccompiler`` is the command line."""

from pccompiler.cli import main

if __name__ == "__main__":
    main()
