"""Commands over a byte stream."""
