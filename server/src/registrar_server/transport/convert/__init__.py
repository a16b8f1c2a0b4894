"""Between messages and the domain: one module a noun, both directions."""
