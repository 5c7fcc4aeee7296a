"""The configurations that a bucket or an object can carry: one file each, with reading, checking and writing.

They are pure: text in, records out. `keys` names the documents under which the store keeps them.
"""
