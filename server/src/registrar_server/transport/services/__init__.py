"""One servicer a service: convert, call, convert, return."""
