"""Entry point: `certd` and `python -m certd`."""

import gc
import sys


def main() -> None:
    from certd.cli.main import cli  # noqa: PLC0415 - keep `import certd.__main__` free of click

    collect_rarely()
    sys.exit(cli())


def collect_rarely() -> None:
    """Look for cycles every 20,000 objects: every 700, as by default, is a tenth of the CPU of starting and issuing.

    Nearly all that certd makes lives as long as the process (modules, classes) or dies by itself, without a cycle.
    """
    gc.set_threshold(20_000)


if __name__ == "__main__":
    main()
