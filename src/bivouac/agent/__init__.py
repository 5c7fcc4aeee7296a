"""The agent: makes one host like what control wants, and says how it is. Never sees the database.

Sets: W is what control wants of this host (server specs and networks, as last heard), H what the host has (guests,
disks, plugged ports, networks), as the drivers say. Three rules: what is in W and not in H is made; what is in H and
not in a complete W is removed; what is in both and differs is brought in line. Each is one visit of one key: look,
`plan` (pure), do one thing, look again; when nothing is left to do, report.

    link      the one connection to control: wants down, reports up; bytes of images and consoles beside it
    loop      visits keys, woken by wants, by the host and by time; retries with growing pauses
    plan      what to do next, as a pure function and a table of tests
    perform   does it, through the drivers
    operations  one-shot actions: executed once, remembered on disk
    metadata  answers guests on 169.254.169.254, and renders config drives
    fleet     many agents on sim drivers in one process

Before the first complete list of wants nothing is touched: guests run on, whoever restarts.
"""
