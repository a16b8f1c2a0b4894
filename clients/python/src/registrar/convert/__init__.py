"""Between the contract's messages and this package's types. Generated types go no further than here and the calls."""
