#!/bin/busybox sh
exec /bin/busybox ping6 "$@"
