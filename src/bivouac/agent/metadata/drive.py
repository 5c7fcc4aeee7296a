"""The config drive: the same documents as files."""

from bivouac.hostspec.server import ServerSpec

from . import amazon, openstack


def config_drive(spec: ServerSpec, seed: bytes) -> dict[str, bytes]:
    """All files of a server's config drive, by path."""
    metadata = spec.metadata
    if metadata is None:
        return {}
    files: dict[str, bytes] = {}
    for version in (*openstack.VERSIONS, openstack.LATEST):
        for name in openstack.names(metadata, version):
            content = openstack.document(spec.id, metadata, version, name, seed)
            if content is not None:
                files[f"openstack/{version}/{name}"] = content
    for number, (_, content) in enumerate(openstack.files_of(metadata)):
        files[f"openstack/content/{number:04d}"] = content
    for version in ("2009-04-04", openstack.LATEST):
        files[f"ec2/{version}/meta-data.json"] = openstack.encode(amazon.tree(spec.id, metadata))
        if metadata.user_data:
            files[f"ec2/{version}/user-data"] = openstack.user_data(metadata)
    return files
