"""Where readings are kept: a protocol, and implementations beside it."""
