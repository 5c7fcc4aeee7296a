"""Who signed this request: Amazon's signatures, checked without sockets or clocks of their own.

`v4` reads and checks version 4 (header, presigned address, browser form), `v2` the old version 2; `chunks` undoes the
aws-chunked coding
and checks its per-chunk signatures and trailers; `form` checks a browser form's policy document. All are fed with what
the request holds
and the credential's secret; who the credential belongs to is found by the door.
"""
