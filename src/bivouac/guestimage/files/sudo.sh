#!/bin/bash
# Reached through a small set-user-id program, so this runs as root. It is bash, as busybox's shell and env would run their
# own applets instead of programs of the same name.
export USER=root HOME=/root PATH=/sbin:/bin:/usr/sbin:/usr/bin
user=root
while :; do
  case "$1" in
    -u | --user) user=$2; shift 2 ;;
    -i | -s) shift; [ $# -gt 0 ] || exec /bin/bash ;;
    -g | -p | -C) shift 2 ;;
    --) shift; break ;;
    -*) shift ;;
    [A-Za-z_]*=*) export "$1"; shift ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { echo "usage: sudo [-u user] command" >&2; exit 1; }
[ "$user" = root ] || exec busybox su -s /bin/bash -- "$user" -c 'exec "$@"' sh "$@"
exec "$@"
