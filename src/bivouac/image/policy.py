"""Default policy rules, by Glance's names (docs.openstack.org/glance/latest/configuration/glance_policy.html)."""

from bivouac.core.policy import Rule

_ADMIN = "rule:context_is_admin"
_MEMBER = f"{_ADMIN} or (role:member and project_id:%(project_id)s)"
_READER = f"{_ADMIN} or (role:reader and project_id:%(project_id)s)"
_SEEN = (
    "(project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s"
    " or 'shared':%(visibility)s)"
)
_READ_NAMESPACE = f"{_ADMIN} or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"

POLICY = (
    Rule("service_api", "role:service or role:admin", "Another service of the cloud."),
    Rule("add_image", f"{_ADMIN} or (role:member and project_id:%(project_id)s and project_id:%(owner)s)"),
    Rule("delete_image", _MEMBER),
    Rule("get_image", f"{_ADMIN} or (role:reader and {_SEEN})"),
    Rule("get_images", _READER),
    Rule("modify_image", _MEMBER),
    Rule("publicize_image", _ADMIN, "Make an image visible to everybody, in everybody's list."),
    Rule("communitize_image", _MEMBER, "Make an image visible to everybody who knows of it."),
    Rule("download_image", f"{_ADMIN} or (role:member and {_SEEN})"),
    Rule("download_from_store", f"{_ADMIN} or (role:member and {_SEEN})"),
    Rule("upload_image", _MEMBER),
    Rule("delete_image_location", _ADMIN),
    Rule("get_image_location", _READER),
    Rule("set_image_location", _MEMBER),
    Rule("add_image_location", "rule:service_api or (role:member and project_id:%(project_id)s)"),
    Rule("fetch_image_location", "rule:service_api"),
    Rule("add_member", _MEMBER),
    Rule("delete_member", _MEMBER),
    Rule("get_member", f"{_ADMIN} or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s))"),
    Rule("get_members", f"{_ADMIN} or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s))"),
    Rule("modify_member", f"{_ADMIN} or (role:member and project_id:%(member_id)s)"),
    Rule("manage_image_cache", _ADMIN),
    Rule("cache_image", _ADMIN),
    Rule("cache_list", _ADMIN),
    Rule("cache_delete", _ADMIN),
    Rule("cache_clean", _ADMIN),
    Rule("cache_prune", _ADMIN),
    Rule("list_cached_nodes", _ADMIN),
    Rule("deactivate", _MEMBER),
    Rule("reactivate", _MEMBER),
    Rule("copy_image", _ADMIN),
    Rule("stores_info_detail", f"{_ADMIN} or rule:service_api"),
    Rule("tasks_api_access", _ADMIN),
    Rule("metadef_admin", _ADMIN),
    Rule("get_metadef_namespace", _READ_NAMESPACE),
    Rule("get_metadef_namespaces", _READ_NAMESPACE),
    Rule("get_metadef_object", _READ_NAMESPACE),
    Rule("get_metadef_objects", _READ_NAMESPACE),
    Rule("list_metadef_resource_types", _READ_NAMESPACE),
    Rule("get_metadef_resource_type", _READ_NAMESPACE),
    Rule("get_metadef_property", _READ_NAMESPACE),
    Rule("get_metadef_properties", _READ_NAMESPACE),
    Rule("get_metadef_tag", _READ_NAMESPACE),
    Rule("get_metadef_tags", _READ_NAMESPACE),
    *(
        Rule(name, "rule:metadef_admin")
        for name in (
            "modify_metadef_namespace", "add_metadef_namespace", "delete_metadef_namespace",
            "modify_metadef_object", "add_metadef_object", "delete_metadef_object",
            "add_metadef_resource_type_association", "remove_metadef_resource_type_association",
            "modify_metadef_property", "add_metadef_property", "remove_metadef_property",
            "add_metadef_tag", "add_metadef_tags", "modify_metadef_tag", "delete_metadef_tag", "delete_metadef_tags",
        )
    ),
)  # fmt: skip
