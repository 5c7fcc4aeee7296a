"""Actions on servers: what each becomes, what its host is told, and what is refused when."""

import pytest

from bivouac.compute.api.server_actions import ACTIONS
from bivouac.compute.loops import unowned_transitions
from bivouac.image.records import ImageRow

from .cloud import IMAGE, Cloud

POWER = [
    ("os-stop", None, "active", "SHUTOFF", "stopped"),
    ("pause", None, "active", "PAUSED", "paused"),
    ("suspend", None, "active", "SUSPENDED", "suspended"),
    ("reboot", {"type": "SOFT"}, "active", "ACTIVE", "running"),
    ("reboot", {"type": "HARD"}, "active", "ACTIVE", "running"),
    ("reboot", {"type": "HARD"}, "os-stop", "ACTIVE", "running"),
    ("os-start", None, "os-stop", "ACTIVE", "running"),
    ("unpause", None, "pause", "ACTIVE", "running"),
    ("resume", None, "suspend", "ACTIVE", "running"),
    ("rescue", None, "active", "RESCUE", "running"),
    ("unrescue", None, "rescue", "ACTIVE", "running"),
]


@pytest.mark.parametrize(("action", "argument", "before", "status", "power"), POWER)
def test_power(cloud: Cloud, action: str, argument: object, before: str, status: str, power: str) -> None:
    id = cloud.active()
    if before != "active":
        assert cloud.act(id, before).status < 300
        cloud.converge()
    answer = cloud.act(id, action, argument)
    assert answer.status in (200, 202)
    assert cloud.show(id)["OS-EXT-STS:task_state"]
    assert cloud.store.read_now(unowned_transitions, cloud.clock.now()) == []
    cloud.converge()
    shown = cloud.show(id)
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == (status, None)
    assert cloud.agents["host-1"].specs[id].power == power
    request_id = answer.headers["x-compute-request-id"]
    done = cloud.ask("GET", f"/servers/{id}/os-instance-actions/{request_id}", version="2.51")["instanceAction"]
    assert done["events"][0]["result"] == "Success"
    assert done["message"] is None


REFUSED = [
    ("active", "os-start", None, 409),
    ("active", "unpause", None, 409),
    ("active", "resume", None, 409),
    ("active", "unrescue", None, 409),
    ("active", "confirmResize", None, 409),
    ("active", "revertResize", None, 409),
    ("active", "unshelve", None, 409),
    ("os-stop", "os-stop", None, 409),
    ("os-stop", "pause", None, 409),
    ("os-stop", "suspend", None, 409),
    ("pause", "pause", None, 409),
    ("suspend", "suspend", None, 409),
    ("active", "reboot", {"type": "medium"}, 400),
    ("active", "reboot", None, 400),
    ("active", "nonsense", None, 400),
    ("active", "resize", {"flavorRef": "absent"}, 400),
    ("active", "resize", {"flavorRef": ""}, 400),
    ("active", "resize", {"flavorRef": None}, 400),
    ("active", "resize", {"flavorRef": "tiny"}, 400),
    ("active", "rebuild", {"imageRef": "00000000-0000-4000-8000-000000000000"}, 400),
    ("active", "os-resetState", {"state": "active"}, 403),
    ("active", "shelveOffload", None, 403),
    ("active", "restore", None, 409),
]


@pytest.mark.parametrize(("before", "action", "argument", "status"), REFUSED)
def test_refusals(cloud: Cloud, before: str, action: str, argument: object, status: int) -> None:
    id = cloud.active()
    if before != "active":
        cloud.act(id, before)
        cloud.converge()
    answer = cloud.act(id, action, argument)
    assert answer.status == status, answer


def test_a_refusal_has_nova_s_words(cloud: Cloud) -> None:
    id = cloud.active()
    words = cloud.act(id, "os-start")["conflictingRequest"]["message"]
    assert words == f"Cannot 'start' instance {id} while it is in vm_state active"
    cloud.act(id, "os-stop")
    words = cloud.act(id, "pause")["conflictingRequest"]["message"]
    assert words == f"Cannot 'pause' instance {id} while it is in task_state powering-off"


def test_a_locked_server_is_for_its_lock_s_owner(cloud: Cloud) -> None:
    id = cloud.active()
    assert cloud.act(id, "lock").status == 202
    assert cloud.show(id, "2.9")["locked"] is True
    assert cloud.act(id, "os-stop").status == 409
    assert cloud.ask("DELETE", f"/servers/{id}").status == 409
    assert cloud.act(id, "unlock").status == 202
    assert cloud.act(id, "os-stop").status == 202


def test_a_resize_is_confirmed_or_taken_back(cloud: Cloud) -> None:
    cloud.flavor("big", ram=2048, vcpus=2, disk=2)
    id = cloud.active()
    assert cloud.act(id, "resize", {"flavorRef": "big"}).status == 202
    assert cloud.show(id)["status"] == "RESIZE"
    cloud.converge()
    assert cloud.show(id)["status"] == "VERIFY_RESIZE"
    assert cloud.agents["host-1"].specs[id].vcpus == 2
    assert cloud.act(id, "revertResize").status == 202
    cloud.converge()
    assert (cloud.show(id)["status"], cloud.show(id)["flavor"]["id"]) == ("ACTIVE", "tiny")
    assert cloud.agents["host-1"].specs[id].vcpus == 1
    cloud.act(id, "resize", {"flavorRef": "big"})
    cloud.converge()
    assert cloud.act(id, "confirmResize").status == 204
    assert (cloud.show(id)["status"], cloud.show(id)["flavor"]["id"]) == ("ACTIVE", "big")


def test_a_rebuild_keeps_id_and_address(cloud: Cloud) -> None:
    id = cloud.active(metadata={"a": "b"})
    before = cloud.show(id)["addresses"]
    answer = cloud.act(id, "rebuild", {"imageRef": IMAGE, "name": "new", "metadata": {"c": "d"}, "adminPass": "x"})
    assert answer.status == 202
    assert (answer["server"]["status"], answer["server"]["adminPass"]) == ("REBUILD", "x")
    assert cloud.agents["host-1"].specs[id].operations == ()
    cloud.converge()
    shown = cloud.show(id)
    assert (shown["status"], shown["name"], shown["metadata"]) == ("ACTIVE", "new", {"c": "d"})
    assert shown["addresses"] == before


def test_a_snapshot_names_where_it_comes_from(cloud: Cloud) -> None:
    id = cloud.active()
    answer = cloud.act(id, "createImage", {"name": "snap", "metadata": {"k": "v"}}, version="2.45")
    image_id = answer["image_id"]
    assert cloud.show(id)["OS-EXT-STS:task_state"] == "image_uploading"
    cloud.converge()
    assert cloud.show(id)["OS-EXT-STS:task_state"] is None
    made = cloud.image(image_id)
    assert made is not None
    assert made.properties["base_image_ref"] == IMAGE and made.properties["k"] == "v"
    location = cloud.act(id, "createImage", {"name": "other"}).headers["location"]
    assert location.startswith("http://cloud:5000/image/v2/images/")


def test_a_snapshot_that_never_comes_leaves_the_server_active(cloud: Cloud) -> None:
    id = cloud.active()
    cloud.agents["host-1"].deaf = True
    image_id = cloud.act(id, "createImage", {"name": "snap"}, version="2.45")["image_id"]
    cloud.converge()
    cloud.advance(3601)
    cloud.expire()
    assert cloud.show(id)["status"] == "ACTIVE"
    made = cloud.image(image_id)
    assert made is not None and made.status == "killed"


def test_a_shelved_server_frees_its_host_and_comes_back(cloud: Cloud) -> None:
    id = cloud.active()
    assert cloud.act(id, "shelve").status == 202
    cloud.converge()
    shown = cloud.show(id)
    assert (shown["status"], shown["OS-EXT-SRV-ATTR:host"]) == ("SHELVED_OFFLOADED", None)
    assert cloud.store.read_now(lambda tx: tx.query("SELECT count(*) FROM allocations")) == [(0,)]
    image_id = cloud.shelved_image(id)
    cloud.uploaded(image_id)
    assert cloud.act(id, "unshelve").status == 202
    cloud.converge()
    shown = cloud.show(id)
    assert (shown["status"], shown["OS-EXT-SRV-ATTR:host"]) == ("ACTIVE", "host-1")
    assert cloud.image(image_id) is None


def test_a_shelved_server_s_image_goes_with_it_unless_its_owner_protects_it(cloud: Cloud) -> None:
    kept = []
    for protected in (False, True):
        id = cloud.active()
        cloud.act(id, "shelve")
        cloud.converge()
        image_id = cloud.shelved_image(id)
        cloud.uploaded(image_id)
        cloud.store.write_now(
            lambda tx, id=image_id, protected=protected: tx.update_where(
                ImageRow, "id = ?", [id], protected=protected
            )
        )
        assert cloud.ask("DELETE", f"/servers/{id}").status == 204
        cloud.converge()
        kept.append(cloud.image(image_id) is not None)
    assert kept == [False, True]


def test_reset_state(cloud: Cloud) -> None:
    id = cloud.active()
    body = {"os-resetState": {"state": "error"}}
    assert cloud.admin("POST", f"/servers/{id}/action", body).status == 202
    assert cloud.show(id)["status"] == "ERROR"
    assert cloud.admin("POST", f"/servers/{id}/action", {"os-resetState": {"state": "active"}}).status == 202
    assert cloud.show(id)["status"] == "ACTIVE"


def test_an_interface_comes_and_goes(cloud: Cloud) -> None:
    id = cloud.active()
    made = cloud.ask("POST", f"/servers/{id}/os-interface", {"interfaceAttachment": {}})
    assert made.status == 200
    cloud.converge()
    port_id = made["interfaceAttachment"]["port_id"]
    assert port_id in [port.id for port in cloud.agents["host-1"].specs[id].ports]
    assert len(cloud.ask("GET", f"/servers/{id}/os-interface")["interfaceAttachments"]) == 2
    assert cloud.ask("DELETE", f"/servers/{id}/os-interface/{port_id}").status == 202
    cloud.converge()
    assert len(cloud.agents["host-1"].specs[id].ports) == 1
    assert cloud.ask("GET", f"/servers/{id}/os-interface/{port_id}").status == 404
    assert cloud.store.read_now(unowned_transitions, cloud.clock.now()) == []


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_no_action_is_for_strangers_or_readers(cloud: Cloud, name: str) -> None:
    id = cloud.active()
    version = f"2.{min(ACTIONS[name].until[1], 96)}" if ACTIONS[name].until[0] == 2 else "2.96"
    before = cloud.show(id)
    strangers = {"ann@p1:reader": {403}, "eve@p2:nothing": {403}, "eve@p2:member,reader": {403, 404, 400}}
    for who, allowed in strangers.items():
        answer = cloud.act(id, name, None, version=version, who=who)
        assert answer.status in allowed, (who, answer)
    assert cloud.show(id) == before


@pytest.mark.parametrize(
    ("argument", "status", "output"),
    [
        ({}, 200, "line 1\nline 2\nline 3\n"),
        ({"length": 2}, 200, "line 2\nline 3\n"),
        ({"length": "1"}, 200, "line 3\n"),
        ({"length": 0}, 200, ""),
        ({"length": -1}, 200, "line 1\nline 2\nline 3\n"),
        ({"length": 9}, 200, "line 1\nline 2\nline 3\n"),
        ({"length": -2}, 400, None),
        ({"length": "x"}, 400, None),
        ({"other": 1}, 400, None),
    ],
)
def test_the_console_log(cloud: Cloud, argument: dict, status: int, output: str | None) -> None:
    id = cloud.active()
    answer = cloud.ask_host("POST", f"/servers/{id}/action", {"os-getConsoleOutput": argument})
    assert answer.status == status
    if output is not None:
        assert answer["output"] == output


def test_what_a_host_will_not_answer_is_a_conflict_and_a_silent_one_unavailable(cloud: Cloud) -> None:
    id = cloud.active()
    root = "root@padmin:admin"
    assert cloud.ask_host("GET", f"/servers/{id}/diagnostics", who=root).status == 409
    cloud.disconnect("host-1")
    assert cloud.ask("GET", f"/servers/{id}/diagnostics", who=root).status == 503


def test_diagnostics_name_a_driver_that_the_api_knows(cloud: Cloud) -> None:
    id = cloud.active()
    cloud.agents["host-1"].answers["diagnostics"] = {"state": "running", "hypervisor": "kvm"}
    found = cloud.ask_host("GET", f"/servers/{id}/diagnostics", who="root@padmin:admin", version="2.48")
    assert found.body == {"state": "running", "hypervisor": "kvm", "driver": "libvirt"}
