"""The host's commands over a serial line."""
