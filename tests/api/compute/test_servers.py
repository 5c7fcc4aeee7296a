"""`/servers`: from the request to a running server and to nothing again."""

import pytest

from .cloud import IMAGE, Cloud


def test_a_server_is_made_runs_and_goes(cloud: Cloud) -> None:
    id = cloud.boot()
    shown = cloud.show(id)
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("BUILD", "spawning")
    cloud.converge()
    shown = cloud.show(id)
    assert (shown["status"], shown["OS-EXT-STS:task_state"], shown["OS-EXT-STS:power_state"]) == ("ACTIVE", None, 1)
    assert shown["addresses"]["private"][0]["OS-EXT-IPS:type"] == "fixed"
    assert cloud.ask("DELETE", f"/servers/{id}").status == 204
    assert cloud.show(id)["OS-EXT-STS:task_state"] == "deleting"
    cloud.converge()
    assert cloud.ask("GET", f"/servers/{id}").status == 404
    assert cloud.server_ports() == set()
    deleted = cloud.admin("GET", "/servers/detail?deleted=true&all_tenants=1")["servers"]
    assert [(one["id"], one["status"]) for one in deleted] == [(id, "DELETED")]


def test_no_host_fits_and_the_fault_says_why(cloud: Cloud) -> None:
    cloud.flavor("huge", ram=16384)
    id = cloud.boot(flavorRef="huge")
    shown = cloud.show(id)
    assert shown["status"] == "ERROR"
    assert "host-1: needs 16384 MiB of memory, 8192 free" in shown["fault"]["message"]
    assert cloud.ask("DELETE", f"/servers/{id}").status == 204
    assert cloud.ask("GET", f"/servers/{id}").status == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": ""}, 400),
        ({"name": " x"}, 400),
        ({"name": "x" * 256}, 400),
        ({"name": 12345}, 400),
        ({"flavorRef": "absent"}, 400),
        ({"imageRef": "absent"}, 400),
        ({"imageRef": "00000000-0000-4000-8000-000000000000"}, 400),
        ({"key_name": "absent"}, 400),
        ({"networks": [{"uuid": "not-a-uuid"}]}, 400),
        ({"networks": [{"uuid": "00000000-0000-4000-8000-000000000000"}]}, 400),
        ({"networks": [{}]}, 400),
        ({"networks": "auto"}, 400),
        ({"accessIPv6": "2001:2001::::3"}, 400),
        ({"accessIPv4": "1.2.3"}, 400),
        ({"metadata": {"a" * 260: "b"}}, 400),
        ({"metadata": {"a": "b" * 256}}, 400),
        ({"min_count": 0}, 400),
        ({"min_count": 3, "max_count": 2}, 400),
        ({"min_count": "x"}, 400),
        ({"user_data": "%%%"}, 400),
        ({"unknown": 1}, 400),
        ({"description": "too new"}, 400),
        ({"availability_zone": "absent"}, 400),
        ({"config_drive": "maybe"}, 400),
        ({"min_count": 11}, 403),
        ({"availability_zone": "nova:host-1"}, 403),
    ],
)
def test_what_create_refuses(cloud: Cloud, change: dict, status: int) -> None:
    body = {"name": "vm", "imageRef": IMAGE, "flavorRef": "tiny", **change}
    answer = cloud.ask("POST", "/servers", {"server": body})
    assert answer.status == status, answer
    assert cloud.ask("GET", "/servers")["servers"] == []
    assert cloud.server_ports() == set()


def test_several_at_once(cloud: Cloud) -> None:
    cloud.boot(min_count=3)
    cloud.converge()
    names = [one["name"] for one in cloud.ask("GET", "/servers/detail?sort_key=display_name&sort_dir=asc")["servers"]]
    assert names == ["vm-1", "vm-2", "vm-3"]
    answer = cloud.ask("POST", "/servers", {"server": {"name": "r", "imageRef": cloud.show(
        cloud.ask("GET", "/servers")["servers"][0]["id"])["image"]["id"], "flavorRef": "tiny",
        "return_reservation_id": True}})  # fmt: skip
    found = cloud.ask("GET", f"/servers?reservation_id={answer['reservation_id']}")["servers"]
    assert [one["name"] for one in found] == ["r"]


def test_what_a_host_cannot_do_ends_in_error_with_its_words(cloud: Cloud) -> None:
    cloud.agents["host-1"].refuse = "The image is broken."
    id = cloud.boot()
    cloud.converge()
    shown = cloud.show(id)
    assert (shown["status"], shown["fault"]["message"]) == ("ERROR", "The image is broken.")


def test_a_deadline_ends_what_a_host_never_does(cloud: Cloud) -> None:
    cloud.agents["host-1"].deaf = True
    id = cloud.boot()
    cloud.converge()
    cloud.advance(599)
    cloud.expire()
    assert cloud.show(id)["status"] == "BUILD"
    cloud.advance(2)
    cloud.expire()
    shown = cloud.show(id)
    assert shown["status"] == "ERROR"
    assert "600 seconds" in shown["fault"]["message"]


def test_a_guest_that_shuts_itself_down_is_shutoff_and_stays_so(cloud: Cloud) -> None:
    from bivouac.hostspec import link
    from bivouac.hostspec.server import ServerReport

    id = cloud.active()
    agent = cloud.agents["host-1"]
    agent.say(link.Report((ServerReport(id, agent.specs[id].generation, "stopped"),)))
    cloud.converge()
    shown = cloud.show(id)
    assert (shown["status"], shown["OS-EXT-STS:power_state"]) == ("SHUTOFF", 4)
    assert agent.specs[id].power == "stopped"


def test_a_stranger_sees_nothing(cloud: Cloud) -> None:
    id = cloud.active()
    stranger = "eve@p2:member,reader"
    assert cloud.ask("GET", f"/servers/{id}", who=stranger).status == 404
    assert cloud.ask("DELETE", f"/servers/{id}", who=stranger).status == 404
    assert cloud.ask("PUT", f"/servers/{id}", {"server": {"name": "x"}}, who=stranger).status == 404
    assert cloud.ask("GET", "/servers/detail", who=stranger)["servers"] == []
    assert cloud.ask("GET", "/servers/detail?all_tenants=1", who=stranger).status == 403
    assert cloud.ask("GET", f"/servers/{id}", who="ann@p1:reader").status == 200
    assert cloud.ask("DELETE", f"/servers/{id}", who="ann@p1:reader").status == 403
