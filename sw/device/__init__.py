"""Programs on a board: simulated in this process, behind a port, or real."""
