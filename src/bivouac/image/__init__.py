"""Image: disk images, what is known of them, and their bytes (Glance's Image API v2).

- `records` are the tables, `states` says which status allows what, `policy` holds the default rules, named as
  Glance's. `service/` has the rules, one file per resource; `api/` the routes and wire shapes.
- `formats/` parses the headers of every disk format without trusting a byte; nothing later guesses a format.
- `transfer` moves bytes: it streams an upload into `core/blobs`, holds the claimed format against the contents, makes
  the twin that servers boot from where one is needed (`conversion`), and only then lets the image become active.
- A row that is on its way (`saving`, `uploading`, `importing`) carries a lease, `transfer_until`, which whoever moves
  the bytes renews; `loops` puts a row whose lease ran out back to `queued`, and removes blobs that nobody needs.
- `for_compute` is what the compute service may ask.

An image is kept as it was sent, so that its checksum and signature stay true. Hosts take raw and qcow2 only: for vmdk,
vhd, vhdx, vdi and ova the upload makes a qcow2 beside it, the *boot disk*, before the image becomes active. `active`
therefore means that a server can boot from it; raw, iso and the ami family are their own boot disk.
"""
