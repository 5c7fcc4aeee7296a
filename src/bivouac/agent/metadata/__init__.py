"""What a guest may read about itself: on http://169.254.169.254 and on its config drive.

`openstack` and `amazon` render the documents as pure functions of a server's spec, the drive is the same documents as
files, and `server` answers HTTP on one socket per network. Who asks is known by where the socket listens and by the
source address, which port security keeps honest; nothing in a request says who one is.
"""
