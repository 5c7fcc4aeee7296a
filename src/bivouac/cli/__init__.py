"""The `bivouac` command: start and stop a cloud, look at it, and make what its first user needs.

`main` only reads arguments; each command is a module of its own that is loaded when it is asked for, so that a command
is up in a few hundredths of a second. `start`, `stop`, `status`, `destroy` and `doctor` work on one machine's cloud in
one state directory, whose paths `layout` knows. `supervisor` is the process that stays: it keeps control, agent and
objects running. `setup` and its steps speak to the cloud's own APIs like any other client.
"""
