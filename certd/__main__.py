"""Entry point: `certd` and `python -m certd`."""

import sys


def main() -> None:
    from certd.cli.main import cli  # noqa: PLC0415 - keep `import certd.__main__` free of click

    sys.exit(cli())


if __name__ == "__main__":
    main()
