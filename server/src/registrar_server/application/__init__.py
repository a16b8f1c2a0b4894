"""The use cases, and in `ports` what they need from the outside."""
