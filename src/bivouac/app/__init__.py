"""Builds the whole: settings to store, services, loops and HTTP mounts. The only module that knows everyone."""
