"""What a plan says: runs of blocks, places in memory, constants as the hardware holds them."""
