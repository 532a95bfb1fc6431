"""What a plan costs in cycles and bytes, and why."""
