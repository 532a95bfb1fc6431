"""What the engine is told, block by block, and what it counts."""
