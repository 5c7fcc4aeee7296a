"""JSON schemas of everything that the API speaks of (`/v2/schemas/...`)."""

from typing import Any

from bivouac.core.errors import NotFound
from bivouac.core.http import Request, Route

from ..formats import CONTAINER_FORMATS, DISK_FORMATS
from ..service.tasks import STATUSES as TASK_STATUSES
from ..service.tasks import TYPES
from ..states import STATUSES
from . import metadef_schemas

_UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
Schema = dict[str, Any]


def text(description: str, *, null: bool = False, read_only: bool = False, **more: Any) -> Schema:
    """A property that is a string."""
    schema: Schema = {"type": ["null", "string"] if null else "string", "description": description, **more}
    return schema | ({"readOnly": True} if read_only else {})


def number(description: str, *, null: bool = False, read_only: bool = False) -> Schema:
    """A property that is an integer."""
    schema: Schema = {"type": ["null", "integer"] if null else "integer", "description": description}
    return schema | ({"readOnly": True} if read_only else {})


IMAGE: Schema = {
    "name": "image",
    "properties": {
        "id": text("An identifier for the image", pattern=_UUID),
        "name": text("Descriptive name for the image", null=True, maxLength=255),
        "status": text("Status of the image", read_only=True, enum=list(STATUSES)),
        "visibility": text("Scope of image accessibility", enum=["community", "public", "private", "shared"]),
        "protected": {"type": "boolean", "description": "If true, image will not be deletable."},
        "os_hidden": {"type": "boolean", "description": "If true, image will not appear in default image list."},
        "checksum": text("md5 hash of image contents.", null=True, read_only=True, maxLength=32),
        "os_hash_algo": text("Algorithm of os_hash_value", null=True, read_only=True, maxLength=64),
        "os_hash_value": text("Hexadecimal digest of the contents", null=True, read_only=True, maxLength=128),
        "owner": text("Owner of the image", null=True, maxLength=255),
        "size": number("Size of image file in bytes", null=True, read_only=True),
        "virtual_size": number("Virtual size of image in bytes", null=True, read_only=True),
        "container_format": text("Format of the container", null=True, enum=[None, *CONTAINER_FORMATS]),
        "disk_format": text("Format of the disk", null=True, enum=[None, *DISK_FORMATS]),
        "created_at": text("Date and time of image registration", read_only=True),
        "updated_at": text("Date and time of the last image modification", read_only=True),
        "tags": {
            "type": "array",
            "description": "List of strings related to the image",
            "items": {"type": "string", "maxLength": 255},
        },
        "direct_url": text("URL to access the image file kept in external store", read_only=True),
        "min_ram": number("Amount of ram (in MB) required to boot image."),
        "min_disk": number("Amount of disk space (in GB) required to boot image."),
        "self": text("An image self url", read_only=True),
        "file": text("An image file url", read_only=True),
        "stores": text("Stores in which the image data lie, separated by commas", read_only=True),
        "schema": text("An image schema url", read_only=True),
        "locations": {
            "type": "array",
            "description": "A set of URLs to access the image file kept in external store",
            "items": {
                "type": "object",
                "properties": {
                    "url": {"type": "string", "maxLength": 2048},
                    "metadata": {"type": "object"},
                    "validation_data": {
                        "type": "object",
                        "description": "Digests to be put on the image; equal ones when it is not queued",
                        "writeOnly": True,
                        "additionalProperties": False,
                        "properties": {
                            "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
                            "os_hash_algo": {"type": "string", "maxLength": 64},
                            "os_hash_value": {"type": "string", "maxLength": 128},
                        },
                        "required": ["os_hash_algo", "os_hash_value"],
                    },
                },
                "required": ["url", "metadata"],
            },
        },
        "kernel_id": text("ID of image stored in Glance that should be used as the kernel.", null=True, is_base=False),
        "ramdisk_id": text("ID of image stored in Glance that should be used as the ramdisk.", null=True,
                           is_base=False),
        "os_distro": text("Common name of operating system distribution", is_base=False),
        "os_version": text("Operating system version as specified by the distributor", is_base=False),
        "architecture": text("Operating system architecture", is_base=False),
        "instance_uuid": text("The server from which the image was made", is_base=False),
        "os_admin_user": text("The user that logs in", is_base=False),
    },
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}  # fmt: skip

MEMBER: Schema = {
    "name": "member",
    "properties": {
        "member_id": text("An identifier for the image member (tenantId)"),
        "image_id": text("An identifier for the image", pattern=_UUID),
        "created_at": text("Date and time of image member creation"),
        "updated_at": text("Date and time of last modification of image member"),
        "status": text("The status of this image member", enum=["pending", "accepted", "rejected"]),
        "schema": text("The schema of this document", read_only=True),
    },
}


def collection(name: str, item: Schema, paged: bool = True) -> Schema:
    """The schema of a list."""
    properties: Schema = {name: {"type": "array", "items": item}, "schema": {"type": "string"}}
    links = [{"rel": "describedby", "href": "{schema}"}]
    if paged:
        properties |= {"first": {"type": "string"}, "next": {"type": "string"}}
        links = [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}, *links]
    return {"name": name, "properties": properties, "links": links}


TASK: Schema = {
    "name": "task",
    "properties": {
        "id": text("An identifier for the task", pattern=_UUID),
        "type": text("The type of task", enum=list(TYPES)),
        "status": text("The current status of this task", enum=list(TASK_STATUSES)),
        "input": {"type": ["null", "object"], "description": "What the task was asked"},
        "result": {"type": ["null", "object"], "description": "What came out of it"},
        "owner": text("The project that owns the task"),
        "message": text("Why it failed"),
        "image_id": text("Image associated with the task"),
        "request_id": text("The request that made the task"),
        "user_id": text("User associated with the task"),
        "expires_at": text("When the task is forgotten", null=True),
        "created_at": text("Date and time of creation"),
        "updated_at": text("Date and time of the last change"),
        "self": {"type": "string", "readOnly": True},
        "schema": {"type": "string", "readOnly": True},
    },
}

SCHEMAS: dict[str, Schema] = {
    "image": IMAGE,
    "images": collection("images", IMAGE),
    "member": MEMBER,
    "task": TASK,
    "tasks": collection("tasks", TASK),
    "members": collection("members", MEMBER, paged=False),
}


async def show(request: Request, name: str) -> Schema:
    """The schema of one kind of document."""
    if name not in SCHEMAS:
        raise NotFound(f"There is no schema {name}.")
    return SCHEMAS[name]


async def show_metadef(request: Request, name: str) -> Schema:
    """The schema of one kind of metadata definition."""
    if name not in metadef_schemas.SCHEMAS:
        raise NotFound(f"There is no schema metadefs/{name}.")
    return metadef_schemas.SCHEMAS[name]


ROUTES = [
    Route(method="GET", path="/v2/schemas/{name}", handler=show, rule="authenticated"),
    Route(method="GET", path="/v2/schemas/metadefs/{name}", handler=show_metadef, rule="authenticated"),
]
