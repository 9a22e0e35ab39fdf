"""The `ocrctl` command, which `python -m ocrctl` is too."""

import os
import sys


def main() -> None:
    """Load the command line and run it. Ctrl-C ends it with one word and 130, while ocrctl is still being loaded too;
    only Python's own start comes before."""
    try:
        from ocrctl.cli.app import main as run

        run()
    except KeyboardInterrupt:
        if sys.stderr and "_OCRCTL_COMPLETE" not in os.environ:  # a completed word is ended without one
            sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
