"""What hosts report, and what becomes of it. Only this module and deadlines write what a server *is*.

`settle` is pure: a server's row, a report and the fate of its operation give the row as it is now. `apply_reports`
writes many in one transaction. Reports of older generations are dropped, and so are reports of a host that the server
is not on (any more).
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from bivouac.core.store import Tx
from bivouac.hostspec.server import OperationReport, ServerReport
from bivouac.image import for_compute as image_service
from bivouac.network import for_compute as network_service
from bivouac.network.for_compute import SPEC_BELL
from bivouac.placement import service as placement

from .records import Fault, Migration, Server, ServerAction
from .service.proxied_images import rotate
from .service.servers import finish_delete
from .service.tasks import finish_actions
from .states import TASKS

PHASE_OF_POWER = {"running": "active", "stopped": "stopped", "paused": "paused", "suspended": "suspended"}
REACHED = {
    "running": frozenset({"running"}),
    "stopped": frozenset({"stopped", "crashed"}),
    "paused": frozenset({"paused"}),
    "suspended": frozenset({"suspended"}),
    "absent": frozenset({"gone"}),
}
DEFAULT_FAULT = "The host could not do as asked; its log says why."


class Settled(Struct, frozen=True):
    """A server after a report: its row, the task that ended (if one did) and why it failed (if so)."""

    server: Server
    ended: str = ""
    failure: str = ""
    gone: bool = False


def settle(server: Server, report: ServerReport, operation: OperationReport | None, now: float) -> Settled:
    """What a report makes of a server."""
    if report.observed_generation < server.observed_generation:
        return Settled(server)
    server = server if server.power_observed == report.power else replace(server, power_observed=report.power)
    caught_up = report.observed_generation >= server.generation
    task = server.current_task
    if task:
        return _settle_task(server, task, report, operation, now) if caught_up else Settled(server)
    if not caught_up:
        return Settled(server)
    if server.observed_generation < server.generation:
        return Settled(replace(server, observed_generation=server.generation, deadline=None))
    return Settled(_drifted(server, report, now))


def _settle_task(
    server: Server, task: str, report: ServerReport, operation: OperationReport | None, now: float
) -> Settled:
    entry = TASKS[task]
    power = server.power_wanted
    if task == "delete":
        return Settled(server, ended=task, gone=True) if report.power == "gone" else Settled(server)
    if report.fault:
        return _failed(server, task, report.fault, now)
    if server.restart:
        if report.power not in REACHED["stopped"]:
            return Settled(server)
        return Settled(replace(server, restart=False, generation=server.generation + 1))
    if entry.operation:
        if operation is None or operation.state == "running":
            return Settled(server)
        if operation.state == "failed":
            return _failed(server, task, operation.message or DEFAULT_FAULT, now)
    if report.power not in REACHED[power] and task not in ("snapshot", "backup", "shelve", "set_password"):
        return Settled(server)
    phase = entry.phase or (PHASE_OF_POWER[power] if entry.failed_phase else server.phase)
    server = replace(
        server, phase=phase, task="", restart=False, deadline=None, fault=None, observed_generation=server.generation,
        launched_at=now if task in ("create", "unshelve") or server.launched_at is None else server.launched_at,
        updated_at=now,
    )  # fmt: skip
    return Settled(server, ended=task)


def _failed(server: Server, task: str, words: str, now: float) -> Settled:
    """The task is over, badly."""
    phase = TASKS[task].failed_phase or server.phase
    fault = Fault(words, now) if TASKS[task].failed_phase else server.fault
    server = replace(
        server, phase=phase, task="", restart=False, deadline=None, fault=fault,
        observed_generation=server.generation, updated_at=now,
    )  # fmt: skip
    return Settled(server, ended=task, failure=words)


def _drifted(server: Server, report: ServerReport, now: float) -> Server:
    """Nothing was asked and something changed: the guest shut itself down, or crashed, or came to life."""
    if report.power in ("stopped", "crashed") and server.phase in ("active", "paused"):
        # Adopted as the wish, so that its host doesn't start it again behind its owner's back.
        return replace(
            server, phase="stopped", power_wanted="stopped", generation=server.generation + 1,
            observed_generation=server.generation + 1, updated_at=now,
        )  # fmt: skip
    if report.power == "running" and server.phase == "error" and server.power_wanted == "running" and not report.fault:
        return replace(server, phase="active", fault=None, updated_at=now)
    return server


def apply_reports(tx: Tx, host: str, reports: Sequence[ServerReport], now: float) -> None:
    """Write what a host reports of its servers. Servers it should not have are wanted absent once more."""
    latest = {report.id: report for report in reports}
    ids = list(latest)
    servers: dict[str, Server] = {}
    for start in range(0, len(ids), 500):
        chunk = ids[start : start + 500]
        marks = ", ".join("?" for _ in chunk)
        servers.update({row.id: row for row in tx.select(Server, f"WHERE id IN ({marks})", *chunk)})
    for id, report in latest.items():
        server = servers.get(id)
        if server is None or server.host != host:
            continue
        if server.deleted_at is not None:
            if report.power != "gone":
                tx.ring(SPEC_BELL, id)
            continue
        _apply(tx, server, report, now)


def _apply(tx: Tx, old: Server, report: ServerReport, now: float) -> None:
    operation = next((one for one in report.operations if one.id == old.action_id), None)
    settled = settle(old, report, operation, now)
    new = settled.server
    if settled.gone:
        finish_actions(tx, old.id, now)
        finish_delete(tx, old, now)
        return
    changed = {name: getattr(new, name) for name in _WRITTEN if getattr(new, name) != getattr(old, name)}
    if changed:
        tx.update(old, **changed)
    if new.generation != old.generation:
        tx.ring(SPEC_BELL, old.id)
    if new.observed_generation != old.observed_generation:
        finish_actions(tx, old.id, now, settled.failure, up_to=new.observed_generation)
    _end_operations(tx, old, report, now)
    if settled.ended:
        _follow_up(tx, new, settled, now)


_WRITTEN = (
    "power_observed", "phase", "task", "deadline", "fault", "observed_generation", "generation", "power_wanted",
    "launched_at", "updated_at", "restart",
)  # fmt: skip


def _end_operations(tx: Tx, server: Server, report: ServerReport, now: float) -> None:
    """End quiet operations (those that are no task) that the host has finished."""
    for one in report.operations:
        if one.state == "running" or one.id == server.action_id:
            continue
        action = tx.get(ServerAction, server.id, one.id)
        if action is not None and action.state == "pending":
            failed = one.state == "failed"
            tx.update(action, state="failed" if failed else "done", message=one.message if failed else "",
                      updated_at=now, finish_time=now)  # fmt: skip


def _follow_up(tx: Tx, server: Server, settled: Settled, now: float) -> None:
    """What the end of a task brings with it elsewhere."""
    task = settled.ended
    if task in ("snapshot", "backup", "shelve") and settled.failure:
        action = tx.get(ServerAction, server.id, server.action_id)
        if action is not None and "image_id" in action.arguments:
            image_service.fail_snapshot(tx, action.arguments["image_id"])
    if task == "backup" and not settled.failure:
        action = tx.get(ServerAction, server.id, server.action_id)
        if action is not None:
            rotate(tx, server.id, action.arguments["backup_type"], action.arguments["rotation"], now)
    if task in ("resize", "migrate", "revert_resize"):
        status = "error" if settled.failure else "reverted" if task == "revert_resize" else "finished"
        tx.update_where(
            Migration, "server_id = ? AND status NOT IN ('confirmed', 'reverted', 'error')", [server.id],
            status=status, updated_at=now,
        )  # fmt: skip
    if task == "unshelve" and not settled.failure:
        image_service.delete_snapshot(tx, server.shelved_image_id, now)
        tx.update(server, shelved_image_id="")
    if task == "shelve" and not settled.failure:
        _offload(tx, server, now)
    if task == "shelve_offload" and not settled.failure:
        network_service.bind_ports(tx, server.id, "")
        placement.release(tx, server.id)
        tx.update(server, host="")


def _offload(tx: Tx, server: Server, now: float) -> None:
    """A shelved server leaves its host at once: keeping it there would keep its room."""
    generation = server.generation + 1
    tx.ring(SPEC_BELL, server.id)
    tx.update(
        server, generation=generation, task="shelve_offload", power_wanted="absent",
        deadline=now + TASKS["shelve_offload"].deadline_s,
    )  # fmt: skip
