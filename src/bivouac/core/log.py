"""Structured logs: one JSON object a line on standard error, with the request id of the call being served.

Secrets never get here: callers log ids and names, not bodies; `redact` is for the few texts that could hold one.
"""

import contextlib
import logging
import re
import sys
import time
from contextvars import ContextVar
from functools import lru_cache

import msgspec

request_id: ContextVar[str] = ContextVar("request_id", default="")

_encode = msgspec.json.Encoder(enc_hook=str).encode
_access_level = logging.CRITICAL
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET = re.compile(
    r"""(?i)("?(?:password|adminPass|admin_pass|secret|token|x-auth-token|x-subject-token)"?\s*[:=]\s*)("[^"]*"|\S+)"""
)


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, request id and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        for key, value in vars(record).items():
            if key not in _STANDARD:
                line[key] = value
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return _encode(line).decode()


def access_wanted() -> bool:
    """Whether `access` lines are written at the configured level."""
    return _access_level <= logging.INFO


def access(fields: dict[str, object]) -> None:
    """The line of one served request: written straight, for the logging module costs more than many an answer."""
    now = time.time()
    line: dict[str, object] = {"time": f"{_second(int(now))}.{int(now % 1 * 1000):03d}Z", "level": "info"}
    line["logger"] = "access"
    line["request_id"] = request_id.get()
    line.update(fields)
    # On a full disk the line is lost, and the request is not.
    with contextlib.suppress(OSError):
        sys.stderr.write(_encode(line).decode() + "\n")


@lru_cache(maxsize=4)
def _second(now: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))


def redact(text: str) -> str:
    """The text with the values of fields that are named like secrets replaced by `***`."""
    return _SECRET.sub(r"\1***", text)


def configure(level: str = "info") -> None:
    """Send everything to standard error as JSON lines; the supervisor turns that into files."""
    global _access_level
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    _access_level = logging.getLogger().level
    for noisy in ("websockets", "bivouac.core.http1.websocket", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
