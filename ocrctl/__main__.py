"""`python -m ocrctl` is the `ocrctl` command."""

from ocrctl.cli.app import main

if __name__ == "__main__":
    main()
