"""Search: the language of filters, after AIP-160, and the use case."""
