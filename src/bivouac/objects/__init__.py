"""The object store and its Swift front door."""
