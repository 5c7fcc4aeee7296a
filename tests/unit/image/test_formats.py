"""The parsers: what qemu-img makes passes, what points outside is refused with its reason, and nothing else happens."""

from pathlib import Path

import pytest
from disk_images import GOOD_DESCRIPTOR, QEMU_FORMATS, contents, hostile, iso, make, ova, patched, vmdk_with_descriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bivouac.image.formats import BytesSource, Inspection, Refused, check, inspect

SIZE = len(contents())


@pytest.mark.parametrize("kind", QEMU_FORMATS)
def test_good_images_pass(tmp_path: Path, kind: str) -> None:
    claimed = kind.partition("-")[0]
    found = check(claimed, "bare", BytesSource(make(tmp_path, kind)))
    assert (found.format, found.virtual_size) == (claimed, SIZE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "attack" in metafunc.fixturenames:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            corpus = hostile(Path(folder))
        metafunc.parametrize("attack", corpus.values(), ids=corpus.keys())


def test_hostile_images_are_refused(attack: tuple[str, bytes, str]) -> None:
    claimed, data, reason = attack
    with pytest.raises(Refused) as refusal:
        check(claimed, "bare", BytesSource(data))
    assert reason in str(refusal.value)


def test_the_descriptor_that_the_attacks_vary_is_itself_good() -> None:
    assert check("vmdk", "bare", BytesSource(vmdk_with_descriptor(GOOD_DESCRIPTOR))).virtual_size == 8192 * 512


def test_iso_and_hybrid() -> None:
    assert check("iso", "bare", BytesSource(iso())).format == "iso"
    assert check("iso", "bare", BytesSource(iso(hybrid=True))).format == "iso"
    assert check("raw", "bare", BytesSource(iso(hybrid=True))).format == "raw"


def test_ova(tmp_path: Path) -> None:
    disk = make(tmp_path, "vmdk-stream")
    archive = ova([("a.ovf", b"<x/>"), ("a.mf", b""), ("a.vmdk", disk)])
    found = check("vmdk", "ova", BytesSource(archive))
    assert (found.format, found.disk_format, found.virtual_size) == ("ova", "vmdk", SIZE)
    assert archive[found.offset : found.offset + found.length] == disk
    for members, reason in (
        ([("a.vmdk", disk)], "ova was claimed"),
        ([("a.ovf", b""), ("a.vmdk", disk), ("b.vmdk", disk)], "2 disks"),
        ([("a.ovf", b""), ("../a.vmdk", disk)], "plain files"),
        ([("a.ovf", b""), ("a.vmdk", b"QFI\xfb" + disk[4:])], "not a sparse vmdk"),
        ([("a.ovf", b""), ("a.sh", b"")], "neither"),
        ([("a.ovf", b"")] * 70, "more than 64"),
    ):
        with pytest.raises(Refused, match=reason):
            check("vmdk", "ova", BytesSource(ova(members)))
    with pytest.raises(Refused, match="ends within"):
        check("vmdk", "ova", BytesSource(archive[: found.offset + 600]))


@pytest.mark.parametrize("claimed", ["raw", "ami", "ari", "aki"])
def test_the_raw_family_takes_what_has_no_signature(claimed: str) -> None:
    for data in (b"", b"\x1f\x8bramdisk", contents(), b"x" * 1024):
        assert check(claimed, "bare", BytesSource(data)).format == "raw"


def test_without_strictness_only_what_has_no_signature_passes(tmp_path: Path) -> None:
    assert check("qcow2", "bare", BytesSource(b"x" * 1024), strict=False).format == "raw"
    with pytest.raises(Refused):
        check("raw", "bare", BytesSource(make(tmp_path, "qcow2")), strict=False)
    with pytest.raises(Refused):
        check("qcow2", "bare", BytesSource(make(tmp_path, "vmdk")), strict=False)


def test_opaque_containers() -> None:
    assert check("raw", "compressed", BytesSource(b"\x1f\x8b...")).format == "compressed"
    with pytest.raises(Refused):
        check("raw", "compressed", BytesSource(b"plain"))
    with pytest.raises(Refused):
        check("raw", "docker", BytesSource(b"plain"))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("seeds")
    made = {kind: make(folder, kind) for kind in QEMU_FORMATS if kind not in ("raw", "vhd-fixed", "vdi-fixed")}
    made["ova"] = ova([("a.ovf", b"<x/>"), ("a.vmdk", made["vmdk"])])
    made["iso"] = iso()
    return made


SEEDS = [*(kind for kind in QEMU_FORMATS if kind not in ("raw", "vhd-fixed", "vdi-fixed")), "ova", "iso"]
OFFSETS = st.one_of(
    st.integers(0, 1024), st.integers(0, 4096), st.integers(196608, 197000), st.integers(2 << 20, (2 << 20) + 70000)
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(OFFSETS, st.binary(min_size=1, max_size=8)), max_size=6),
    cut=st.one_of(st.none(), st.integers(0, 1 << 22)),
)
def test_damaged_images_end_in_a_verdict(
    seeds: dict[str, bytes], kind: str, changes: list[tuple[int, bytes]], cut: int | None
) -> None:
    data = seeds[kind]
    for offset, value in changes:
        data = patched(data, offset, value)
    verdict(data[:cut])


@settings(max_examples=300, deadline=None)
@given(
    magic=st.sampled_from([b"QFI\xfb", b"KDMV", b"vhdxfile", b"conectix", b"", b"# Disk DescriptorFile\n"]),
    rest=st.binary(max_size=2000),
)
def test_rubbish_ends_in_a_verdict(magic: bytes, rest: bytes) -> None:
    verdict(magic + rest)


def verdict(data: bytes) -> None:
    try:
        found = inspect(BytesSource(data))
    except Refused as refusal:
        assert str(refusal)
    else:
        assert isinstance(found, Inspection)
        assert 0 <= found.virtual_size < 1 << 63
