"""On-chip activation memory, and what addresses, fills and empties it."""
