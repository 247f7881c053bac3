"""A role that has loaded everything and waits for the word: it takes a dead one's place at once.

Loading the exchange's SDK takes seconds; to begin, a loaded worker takes a few tenths of one.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Final

from workers import cli

# What a role is made of, by the last word of its command. By name: `api` is a room of its own.
LOADED: Final[Mapping[str, str]] = {
    "api": "api.serve",
    "trading": "workers.trading",
    "streams": "workers.streams",
    "migrate": "infra.store.migrate",
}


def main(argv: list[str]) -> int:
    """Load the role that `argv` names as `holdfast` would take it, wait, and run it.

    The word is a line on standard input. Its end without one means that whoever would have
    given it is gone: then nothing begins.
    """
    import_module(LOADED[argv[-1]])
    if not sys.stdin.readline():
        return 0
    return cli.main(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
