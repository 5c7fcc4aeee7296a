"""What every service stands on: HTTP kernel, store, policy, errors, loops, clock, process spawning."""
