"""openstacksdk's own functional tests for one service, unmodified, against the cloud that OS_* names.

Run it with the Python of an environment that has openstacksdk, oslotest and pytest; `script/conformance` makes one. The
tests ask for four entries of clouds.yaml, named as in DevStack: an administrator on a project and on the system, and
two users with a project each. Prints one line and leaves a table of test, status, seconds and reason in the directory
`--out`; ends with 1 when a test failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import openstack

TESTS = {
    "identity": ("openstack.tests.functional.identity", "openstack.tests.functional.cloud.test_identity"),
    "image": ("openstack.tests.functional.image", "openstack.tests.functional.cloud.test_image"),
}
PASSWORD = "functional-tests-2026"


def make_user(cloud: openstack.connection.Connection, name: str) -> None:
    """A user with a project of the same name and the role `member` there; kept when it exists."""
    project = cloud.identity.find_project(name) or cloud.identity.create_project(name=name, domain_id="default")
    user = cloud.identity.find_user(name) or cloud.identity.create_user(
        name=name, domain_id="default", password=PASSWORD
    )
    role = cloud.identity.find_role("member", ignore_missing=False)
    cloud.identity.assign_project_role_to_user(project, user, role)


def entry(url: str, username: str, password: str, **scope: str) -> dict[str, Any]:
    """A cloud of clouds.yaml."""
    auth = {"auth_url": url, "username": username, "password": password, "user_domain_id": "default", **scope}
    return {"auth": auth, "region_name": os.environ.get("OS_REGION_NAME", "RegionOne"), "identity_api_version": "3"}


def clouds() -> dict[str, Any]:
    """The four entries that the tests use."""
    url, admin, password = (os.environ[name] for name in ("OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD"))
    on = {"project_domain_id": "default"}
    return {
        "devstack-admin": entry(url, admin, password, project_name=os.environ["OS_PROJECT_NAME"], **on),
        "devstack-system-admin": entry(url, admin, password, system_scope="all"),
        "devstack": entry(url, "functional-demo", PASSWORD, project_name="functional-demo", **on),
        "devstack-alt": entry(url, "functional-alt", PASSWORD, project_name="functional-alt", **on),
    }


def results(report: Path) -> list[tuple[str, str, float, str]]:
    """(test, status, seconds, reason) of a JUnit report."""
    found = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        status, reason = "pass", ""
        for kind, word in (("skipped", "skip"), ("failure", "fail"), ("error", "fail")):
            if (element := case.find(kind)) is not None:
                status, reason = word, " ".join((element.get("message") or "").split())
        name = f"{case.get('classname')}.{case.get('name')}"
        found.append((name, status, float(case.get("time") or 0), reason))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service", choices=TESTS)
    parser.add_argument("--out", type=Path, default=Path("."))
    options = parser.parse_args()
    with openstack.connect(load_yaml_config=False, load_envvars=True) as cloud:
        for name in ("functional-demo", "functional-alt"):
            make_user(cloud, name)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "clouds.yaml").write_text(json.dumps({"clouds": clouds()}))
        # Tests run in a checkout of the SDK; those of images upload this file of it.
        (folder / "CONTRIBUTING.rst").write_text("Contributing\n============\n")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        environment |= {"OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml"), "OPENSTACKSDK_IMAGE": "conf-image"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", str(folder / "report")]
        with (options.out / f"sdk-{options.service}.log").open("w") as log:
            subprocess.run(
                [*command, "--pyargs", *TESTS[options.service]],
                cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        rows = results(folder / "report")
    table = "".join(f"{name}\t{status}\t{seconds:.2f}\t{reason}\n" for name, status, seconds, reason in rows)
    (options.out / f"sdk-{options.service}.tsv").write_text("test\tstatus\tseconds\treason\n" + table)
    passed, failed, skipped = (sum(row[1] == status for row in rows) for status in ("pass", "fail", "skip"))
    print(f"sdk-{options.service} passed {passed} failed {failed} skipped {skipped} of {len(rows)}")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
