"""Arguments of the `bivouac` command. Nothing heavy is imported before it is known what to do."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from bivouac import __version__

from .errors import CommandFailed

COMMANDS = {
    "up": ("start", "start the cloud on this machine"),
    "down": ("stop", "stop it; servers that run will run again after `up`"),
    "status": ("status", "show processes, loops, hosts and their health"),
    "doctor": ("doctor", "check this machine: what is missing, what it means, how to mend it"),
    "setup": ("setup", "make what a first user needs: image, flavors, networks, a demo project with a server"),
    "destroy": ("destroy", "stop the cloud and remove everything it made"),
    "host": ("host", "add further hosts to the cloud, or make this machine one"),
    "sim": ("simulate", "join a fleet of simulated hosts to a running cloud"),
    "db": ("database", "look for damage in the database"),
    "objects": ("objects", "look after the object store: check, compact, stats, export, import"),
    "image": ("image", "build images of guests"),
}


def parser_for(command: str | None) -> argparse.ArgumentParser:
    """The parser; only the chosen command's own arguments are filled in."""
    parser = argparse.ArgumentParser(prog="bivouac", description="An open cloud that one person can pitch in a minute.")
    parser.add_argument("--version", action="version", version=f"bivouac {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--state",
        metavar="DIR",
        default=os.environ.get("BIVOUAC_STATE", "/var/lib/bivouac"),
        help="state directory (default: BIVOUAC_STATE or /var/lib/bivouac)",
    )
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, (module, summary) in COMMANDS.items():
        own = commands.add_parser(name, help=summary, description=summary, parents=[common])
        if name == command:
            importlib.import_module(f".{module}", __package__).add_arguments(own)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 when all is well."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = next((word for word in words if word in COMMANDS), None)
    options = parser_for(command).parse_args(words)
    module = importlib.import_module(f".{COMMANDS[options.command][0]}", __package__)
    try:
        return module.run(options)
    except CommandFailed as error:
        print(f"bivouac {options.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
