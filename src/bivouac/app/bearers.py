"""What the object store asks Identity, on the internal socket: who a token or an access key stands for, what has been
revoked since, and whether a project or an address is known.

Only processes of control's own user reach that socket; that is why the secret of an access key may be told: the
object store checks signatures itself, at the rate of its requests. It remembers answers, each with the ids it depends
on (`subjects`). `Forgotten` is how it learns of a revocation before the one who revoked is answered.
"""

import threading
from collections import deque
from pathlib import Path

from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.http import PUBLIC, Mount, Request, Response, Route
from bivouac.core.sequence import Sequence
from bivouac.core.store import Store, Tx
from bivouac.identity import revocation
from bivouac.identity.authenticate import KEYS_BELL, Authenticator
from bivouac.identity.records import Project, User

KEPT = 1000
"""Revocations that are told one by one; who has missed more forgets everything."""


class Forgotten:
    """Numbers the bells of `revocation.forget`. The number is in memory shared with the object store, so that it sees
    on each request whether it has missed one; which ids they named it asks for.

    Make it after the authenticator, whose own memory must be rid of a subject before the number rises.
    """

    def __init__(self, store: Store, path: Path) -> None:
        self._sequence = Sequence(path, writable=True)
        self._subjects: deque[str] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        # What rang while no process listened is not known: a new number that stands for everything.
        self._first = self._sequence.rise()
        store.on_bell(self._bell)

    def _bell(self, name: str, subject: str) -> None:
        if name == KEYS_BELL:
            subject = revocation.EVERYTHING
        elif name != revocation.BELL:
            return
        with self._lock:
            self._subjects.append(subject)
            self._sequence.rise()

    def since(self, number: int) -> tuple[int, list[str]]:
        """The number now, and what was forgotten after `number`; `*` stands for everything."""
        with self._lock:
            now = self._sequence.value
            missed = now - number
            if number < self._first or missed < 0 or missed > len(self._subjects):
                return now, [revocation.EVERYTHING]
            return now, list(self._subjects)[len(self._subjects) - missed :]


def bearers_mount(authenticator: Authenticator, forgotten: Forgotten) -> Mount:
    async def token(request: Request) -> Response:
        """The caller of the token in X-Subject-Token; 404 when it does not count."""
        proven = await authenticator.prove(request.header(b"x-subject-token"))
        if proven is None:
            raise NotFound("The token does not count.")
        return Response({"caller": proven.caller, "subjects": proven.subjects})

    async def access_key(request: Request, access: str) -> Response:
        """The caller and the secret of an EC2 access key; 404 when it does not count."""
        proven = await authenticator.access_key(access)
        if proven is None:
            raise NotFound("The access key does not count.")
        return Response({"caller": proven.caller, "subjects": proven.subjects, "secret": proven.access_secret})

    async def forgotten_since(request: Request, number: str) -> Response:
        """The ids that were forgotten after that number, and the number to ask with next time."""
        if not number.isdecimal():
            raise BadRequest("The number of a revocation is decimal.")
        now, subjects = forgotten.since(int(number))
        return Response({"number": now, "subjects": subjects})

    async def project(request: Request, project_id: str) -> Response:
        """The name of a project; 404 when there is none of that id."""
        found = await request.application.store.read(_project, project_id)
        if found is None:
            raise NotFound("There is no such project.")
        return Response({"project_id": found.id, "name": found.name})

    async def address(request: Request, address: str) -> Response:
        """The default project of the user with that e-mail address; 404 when no user, or more than one, has it."""
        found = await request.application.store.read(_project_of_address, address)
        if found is None:
            raise NotFound("There is no such address.")
        return Response({"project_id": found})

    routes = [
        Route(method="GET", path="/token", handler=token, rule=PUBLIC),
        Route(method="GET", path="/access-key/{access}", handler=access_key, rule=PUBLIC),
        Route(method="GET", path="/forgotten/{number}", handler=forgotten_since, rule=PUBLIC),
        Route(method="GET", path="/project/{project_id}", handler=project, rule=PUBLIC),
        Route(method="GET", path="/address/{address}", handler=address, rule=PUBLIC),
    ]
    return Mount(prefix="/bearers", service_type="bearers", routes=routes)


def _project(tx: Tx, project_id: str) -> Project | None:
    found = tx.get(Project, project_id)
    return None if found is None or found.is_domain else found


def _project_of_address(tx: Tx, address: str) -> str | None:
    """Addresses are what Identity keeps of a user beside its own fields (`email`)."""
    wanted = address.strip().lower()
    users = tx.select(User, "WHERE lower(extra) LIKE ? ESCAPE '!' AND default_project_id IS NOT NULL", _like(wanted))
    found = {user.default_project_id for user in users if str(user.extra.get("email", "")).strip().lower() == wanted}
    return found.pop() if len(found) == 1 else None


def _like(text: str) -> str:
    for character in "!%_":
        text = text.replace(character, "!" + character)
    return f"%{text}%"
