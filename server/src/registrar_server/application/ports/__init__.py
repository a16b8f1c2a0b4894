"""What the use cases need from the outside, as Protocols. Each states what it guarantees."""
