"""``python -m facekit``: the command line, as ``facekit`` runs it."""

from facekit.cli import main

if __name__ == "__main__":
    main()
