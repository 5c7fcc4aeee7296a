"""The real loop on simulated drivers."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hosts import SimHost, complete, eventually, network, on_host, server, wanted

from bivouac.agent import loop as loops
from bivouac.core.crash import arm
from bivouac.hostspec.server import DiskSpec, OperationSpec, PortSpec, ServerSpec

replace = msgspec.structs.replace


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "FIRST_RETRY_S", 0.001)
    monkeypatch.setattr(loops, "LAST_RETRY_S", 0.01)


def test_a_life(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        loop = host.loop
        spec = server()
        await loop.want(complete(spec, networks=(network(),)))
        await loop.idle()
        report = host.report(spec.id)
        assert report is not None
        assert (report.power, report.observed_generation, report.fault) == ("running", 1, "")
        assert (report.ports, report.disks) == ((spec.ports[0].id,), ("root",))
        assert "net-1" in host.served
        for generation, power in ((2, "paused"), (3, "running"), (4, "suspended"), (5, "running"), (6, "stopped")):
            spec = replace(spec, generation=generation, power=power)
            await loop.want(wanted(spec))
            await loop.idle()
            report = host.report(spec.id)
            assert report is not None and (report.power, report.observed_generation) == (power, generation)
        assert (await host.everything())["ports"] == {}
        await loop.want(wanted(replace(spec, generation=7, power="absent")))
        await loop.idle()
        report = host.report(spec.id)
        assert report is not None and (report.power, report.observed_generation) == ("gone", 7)
        await loop.idle()
        nothing: dict[str, Any] = {"guests": {}, "disks": {}, "ports": {}, "networks": (), "files": []}
        assert await host.everything() == nothing and host.served == {"net-1": None}

    on_host(tmp_path, body)


def test_nothing_wanted_changed_is_nothing_done(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        specs = [server() for _ in range(3)]
        await host.loop.want(complete(*specs, networks=(network(),)))
        await host.loop.idle()
        await host.loop.stop()
        host.reports.clear()
        with arm() as count:
            await host.start_agent()
            await host.loop.want(complete(*specs, networks=(network(),)))
            await host.loop.want(wanted(specs[0]))
            await host.loop.idle()
        assert count.seen == []
        assert {report.id for report in host.reports} == {spec.id for spec in specs}

    on_host(tmp_path, body)


def test_before_the_first_complete_list_nothing_is_touched(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        kept, stranger = server(), server()
        await host.loop.want(complete(kept, stranger, networks=(network(), network("net-2"))))
        await host.loop.idle()
        await host.loop.stop()
        before = await host.everything()
        await host.start_agent()
        with arm() as count:
            await host.loop.want(wanted(replace(kept, power="stopped", generation=2)))
            host.loop.guest_changed(stranger.id)
            await host.loop.idle()
        assert count.seen == [] and await host.everything() == before
        await host.loop.want(complete(replace(kept, generation=3), networks=(network(),)))
        await host.loop.idle()
        after = await host.everything()
        assert list(after["guests"]) == list(after["disks"]) == [kept.id]
        assert list(after["ports"]) == [kept.ports[0].id] and after["networks"] == ("net-1",)

    on_host(tmp_path, body)


def test_an_older_generation_is_dropped(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        spec = server(generation=5)
        await host.loop.want(complete(spec))
        await host.loop.want(wanted(replace(spec, generation=4, power="absent")))
        await host.loop.want(complete(replace(spec, generation=3, power="stopped")))
        await host.loop.idle()
        assert (await host.everything())["guests"][spec.id].power == "running"

    on_host(tmp_path, body)


def test_devices_come_and_go(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        spec = server(config_drive=True)
        await host.loop.want(complete(spec))
        await host.loop.idle()
        more = replace(
            spec,
            generation=2,
            ports=(*spec.ports, PortSpec("p2", "net-1", "fa:16:3e:00:00:02", 1442)),
            disks=(*spec.disks, DiskSpec("volume-1", 1 << 20, kind="volume")),
        )
        await host.loop.want(wanted(more))
        await host.loop.idle()
        report = host.report(spec.id)
        assert report is not None and report.disks == ("root", "config", "volume-1")
        assert report.ports == (spec.ports[0].id, "p2")
        await host.loop.want(wanted(replace(spec, generation=3)))
        await host.loop.idle()
        everything = await host.everything()
        assert sorted(everything["disks"][spec.id]) == ["config", "root"]
        assert list(everything["ports"]) == [spec.ports[0].id]

    on_host(tmp_path, body)


def test_failures_are_retried_and_told_after_some(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        spec, well = server(), server()
        host.knobs.fail["ensure_running"] = 3
        await host.loop.want(complete(spec))
        await eventually("running in the end", lambda: host.report(spec.id))
        report = host.report(spec.id)
        assert report is not None and (report.power, report.fault) == ("running", "")
        host.net.failures["ensure_port"] = -1
        await host.loop.want(wanted(well))
        report = await eventually("told", lambda: host.report(well.id))
        assert (report.power, report.observed_generation) == ("stopped", 1)
        assert report.fault == "The host's network did not do as asked." and "simulated" in report.detail
        host.net.failures.clear()
        report = await eventually("mended", lambda: (r := host.report(well.id)) and r.power == "running" and r)
        assert report.fault == ""

    on_host(tmp_path, body)


def test_a_guest_that_shuts_itself_down_is_left_alone_until_it_is_wanted_again(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        spec = server()
        await host.loop.want(complete(spec))
        await host.loop.idle()
        host.hypervisor.shut_itself_down(spec.id)
        await host.loop.idle()
        report = host.report(spec.id)
        assert report is not None and (report.power, report.observed_generation) == ("stopped", 1)
        await host.loop.want(complete(spec))
        await host.loop.idle()
        assert (await host.everything())["guests"][spec.id].power == "stopped"
        await host.loop.want(wanted(replace(spec, generation=2)))
        await host.loop.idle()
        assert (await host.everything())["guests"][spec.id].power == "running"

    on_host(tmp_path, body)


def test_a_crashed_guest_is_started_again_but_not_for_ever(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        spec = server()
        await host.loop.want(complete(spec))
        await host.loop.idle()
        for _ in range(loops.CRASHES_BEFORE_REST):
            host.hypervisor.crash(spec.id)
            await host.loop.idle()
            assert (await host.everything())["guests"][spec.id].power == "running"
        assert len(host.reports) == 1 + loops.CRASHES_BEFORE_REST
        assert all(report.power == "running" for report in host.reports)
        host.hypervisor.crash(spec.id)
        await host.loop.idle()
        report = host.report(spec.id)
        assert report is not None and report.power == "crashed" and "unexpectedly" in report.fault
        host.clock.advance(loops.STABLE_S + 1)
        host.loop.guest_changed(spec.id)
        await host.loop.idle()
        assert (await host.everything())["guests"][spec.id].power == "running"

    on_host(tmp_path, body)


def test_operations_are_executed_once_whoever_restarts(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        operations = (
            OperationSpec("op-1", "reboot_hard"),
            OperationSpec("op-2", "nmi"),
            OperationSpec("op-3", "set_password", {"user": "root", "password": "x"}),
            OperationSpec("op-4", "set_password", {"user": 5}),
            OperationSpec("op-5", "nmi", deadline=1.0),
            OperationSpec("op-6", "snapshot", {"image_id": "new-image", "disk_format": "qcow2"}),
        )
        spec = server(operations=operations)
        await host.loop.want(complete(replace(spec, operations=())))
        await host.loop.idle()
        spec = replace(spec, generation=2)
        await host.loop.want(wanted(spec))
        await host.loop.idle()
        report = host.report(spec.id)
        assert report is not None
        ended = {operation.id: (operation.state, operation.message) for operation in report.operations}
        assert {id for id, (state, _) in ended.items() if state == "done"} == {"op-1", "op-2", "op-3", "op-6"}
        assert "understood" in ended["op-4"][1] and "in time" in ended["op-5"][1]
        assert host.uploads == {"new-image": b"simulated snapshot of root"}
        log = await host.hypervisor.console_log(spec.id, 10_000)
        assert log.count(b"rebooted") == log.count(b"NMI") == 1
        await host.loop.stop()
        await host.start_agent()
        with arm() as count:
            await host.loop.want(complete(spec))
            await host.loop.idle()
            assert count.seen == [] and host.report(spec.id) == report
            await host.loop.want(complete(replace(spec, generation=3, operations=())))
            await host.loop.idle()
            assert count.seen == ["forget operations"]
        assert (await host.everything())["files"] == []

    on_host(tmp_path, body)


def test_rebuild_makes_the_root_disk_anew(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        spec = server()
        await host.loop.want(complete(spec))
        await host.loop.idle()
        with arm() as count:
            await host.loop.want(wanted(replace(spec, generation=2, operations=(OperationSpec("o", "rebuild"),))))
            await host.loop.idle()
        assert count.seen == ["remove guest", "remove disk", "record operation", "make disk", "start guest"]
        report = host.report(spec.id)
        assert report is not None and report.power == "running" and report.operations[0].state == "done"

    on_host(tmp_path, body)


def test_a_delete_does_not_wait_for_a_clean_shutdown(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        spec = server(stop_timeout_s=3600.0)
        host.knobs.ignores_power_button = True
        await host.loop.want(complete(spec))
        await host.loop.idle()
        await host.loop.want(wanted(replace(spec, generation=2, power="stopped")))
        await asyncio.sleep(0)
        await host.loop.want(wanted(replace(spec, generation=3, power="absent")))
        await asyncio.wait_for(host.loop.idle(), 10)
        assert (await host.everything())["guests"] == {}

    on_host(tmp_path, body)


def test_a_lost_plug_is_mended_by_the_sweep(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        spec = server()
        await host.loop.want(complete(spec))
        await host.loop.idle()
        await host.net.remove_port(spec.ports[0].id)
        await host.loop._look_at_all()
        await host.loop.idle()
        assert list((await host.everything())["ports"]) == [spec.ports[0].id]

    on_host(tmp_path, body)


def test_impossible_names_are_refused_and_harm_nobody(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        good = server()
        bad: list[ServerSpec] = [server(id=name) for name in ("../../etc", "a/b", "x" * 65, ".", "a b")]
        await host.loop.want(complete(good, *bad))
        await host.loop.idle()
        assert list((await host.everything())["guests"]) == [good.id]

    on_host(tmp_path, body)


def test_a_network_goes_with_the_last_server_on_it(tmp_path: Path) -> None:
    async def body(host: SimHost) -> None:
        on_both = (PortSpec("port-1", "net-1", "fa:16:3e:00:00:02", 1442),)
        on_both += (PortSpec("port-2", "net-2", "fa:16:3e:00:00:03", 1442),)
        first, second = server(), server(ports=on_both)
        await host.loop.want(complete(first, second, networks=(network(), network("net-2"))))
        await host.loop.idle()
        assert await host.net.observe_networks() == ("net-1", "net-2")
        await host.loop.want(wanted(replace(second, generation=2, ports=on_both[:1])))
        await host.loop.idle()
        assert await host.net.observe_networks() == ("net-1",)
        await host.loop.want(wanted(replace(second, generation=3, power="absent")))
        await host.loop.idle()
        assert await host.net.observe_networks() == ("net-1",)
        await host.loop.want(wanted(replace(first, generation=2, power="absent")))
        await host.loop.idle()
        assert await host.net.observe_networks() == () and host.served["net-1"] is None

    on_host(tmp_path, body)
