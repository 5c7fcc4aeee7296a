"""The administrator's first password: generated, never a default, readable by control's user and root alone."""

import os
import secrets
from pathlib import Path


def admin_password(path: Path) -> str:
    """The password in the file, made there on the first start."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        password = secrets.token_urlsafe(18)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(password + "\n")
        return password
