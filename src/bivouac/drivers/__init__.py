"""What touches a host: hypervisors, network plugs, disks. Each kind has a real driver and a sim."""
