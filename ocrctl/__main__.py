"""The `ocrctl` command, which `python -m ocrctl` is too."""

import gc
import os
import sys


def main() -> None:
    """Load the command line and run it. Ctrl-C ends it with one word and 130, while ocrctl is still being loaded too;
    only Python's own start comes before."""
    try:
        # Importing torch and lightning makes a million objects that stay; at Python's usual threshold of 700 the
        # collector spends a fifth of the start looking for garbage among them.
        gc.set_threshold(100_000, 10, 10)
        from ocrctl.cli.app import main as run
        from ocrctl.cli.leave import leave

        try:
            run()
        except SystemExit as stop:
            leave(stop)
    except KeyboardInterrupt:
        if sys.stderr and "_OCRCTL_COMPLETE" not in os.environ:  # a completed word is ended without one
            sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
