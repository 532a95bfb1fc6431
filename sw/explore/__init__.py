"""Many networks and many engines: sweeps, and the tables of results."""
