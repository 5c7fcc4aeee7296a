"""`python -m bivouac.objects --state DIR`: the object store's process."""

import argparse
import sys

import msgspec
import uvloop

from bivouac.core import log
from bivouac.core.errors import Error
from bivouac.core.settings import load
from bivouac.objects.process import run


def main() -> int:
    """Run until SIGTERM or SIGINT; 1 when it cannot start, with the reason in plain words."""
    parser = argparse.ArgumentParser(prog="python -m bivouac.objects", description="The object store: Swift and S3.")
    parser.add_argument("--state", default="", help="state directory; the store is in its folder `objects`")
    parser.add_argument("--listen", default="", metavar="HOST:PORT", help="Swift's address, instead of the settings'")
    options = parser.parse_args()
    try:
        settings = load(options.state)
        if options.listen:
            host, _, port = options.listen.rpartition(":")
            doors = msgspec.structs.replace(settings.object_store, swift_port=int(port))
            http = msgspec.structs.replace(settings.http, host=host)
            settings = msgspec.structs.replace(settings, object_store=doors, http=http)
        log.configure(settings.log_level)
        sys.setswitchinterval(0.0005)  # the commit thread must not wait 5 ms for the interpreter after each sync
        uvloop.run(run(settings))
    except (Error, RuntimeError, OSError, ValueError) as error:
        print(f"bivouac objects: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
