"""From a file to a program, or why not."""
