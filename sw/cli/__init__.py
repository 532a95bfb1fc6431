"""The command line, a function per command."""
