"""Token check with catalog read: CPU per request against a bare ASGI application that answers the same bytes.

Both run on the same server software; wrk drives them in turn, three rounds; medians.
"""

import statistics

from _processes import bare, control, load, row

ROUNDS = 3


def main() -> None:
    row("what", "ours", "floor", "ratio", "target")
    row("---", "---", "---", "---", "---")
    with control(BIVOUAC_LOG_LEVEL="warning") as cloud:
        headers = {"X-Auth-Token": cloud.token, "X-Subject-Token": cloud.token}
        for name, path in (
            ("catalog read", "/identity/v3/auth/catalog"),
            ("token validation with catalog", "/identity/v3/auth/tokens"),
        ):
            url = f"http://127.0.0.1:{cloud.port}{path}"
            body = _body(cloud, path)
            with bare(body) as (floor_pid, floor_port):
                ours, floor, rates = [], [], []
                for _ in range(ROUNDS):
                    used, rate = load(cloud.pid, url, headers)
                    ours.append(used)
                    rates.append(rate)
                    floor.append(load(floor_pid, f"http://127.0.0.1:{floor_port}{path}", headers)[0])
            mine, least = statistics.median(ours), statistics.median(floor)
            said = f"{mine:.0f} µs CPU ({statistics.median(rates):.0f}/s)"
            row(f"{name}, {len(body)} bytes", said, f"{least:.0f} µs bare ASGI", f"{mine / least:.2f}", "at most 1.5")


def _body(cloud: object, path: str) -> bytes:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", cloud.port)
    connection.request("GET", path, headers={"X-Auth-Token": cloud.token, "X-Subject-Token": cloud.token})
    return connection.getresponse().read()


if __name__ == "__main__":
    main()
