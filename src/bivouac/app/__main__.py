"""`python -m bivouac.app --state DIR`: the control process."""

import argparse
import asyncio
import gc
import os
import signal
import sys

import uvloop

from bivouac.core import log
from bivouac.core.errors import Error
from bivouac.core.settings import load

from .cloud import build


async def _run(state: str) -> None:
    os.umask(0o077)  # the database and the images are nobody else's to read
    settings = load(state)
    log.configure(settings.log_level)
    cloud = build(settings)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    # What was built lives as long as the process: the collector need not walk it again.
    gc.collect()
    gc.freeze()
    await cloud.run(stopping)


def main() -> int:
    """Run until SIGTERM or SIGINT; 1 when it cannot start, with the reason in plain words."""
    parser = argparse.ArgumentParser(prog="python -m bivouac.app", description="The control process of a cloud.")
    parser.add_argument("--state", default="", help="state directory")
    options = parser.parse_args()
    try:
        uvloop.run(_run(options.state))
    except Error as error:
        print(f"bivouac control: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
