"""External memory: requests, arbiter, SDRAM controller."""
