"""Project's results on their way to memory, and the shortcut that is added."""
