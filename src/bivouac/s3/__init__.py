"""The S3 front door: Amazon's object protocol spoken over the object store's narrow interface.

It owns no state: buckets are the store's containers, and whatever S3 has beyond Swift (ACLs, policies, lifecycle rules
...) are documents
that the store keeps without reading them. Three rings:

- *Protocol without sockets*: `xml`, `errors`, `names`, `checksums`, `conditions`, `encryption`, the folder `signing`
(versions 2 and 4,
  presigned addresses, browser forms, chunked bodies) and the folder `documents` (one file per configuration: parsing,
  checking, writing).
- *Access*: `access` answers "may this caller do that here" from bucket policy, ACLs, public access block and object
ownership.
- *The door*: `door` authenticates a request, finds its operation in the table of `operations`, and turns errors into
S3's XML. The folder
  `operations` has one file per resource; each operation unpacks, asks `access`, calls the store, and shapes the answer.

Source: Amazon S3 API Reference (version 2006-03-01); where it is silent, what clients send.
"""
