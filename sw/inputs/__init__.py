"""Pictures, arrays and class names as a network takes them."""
