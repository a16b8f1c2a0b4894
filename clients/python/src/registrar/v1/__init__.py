"""The contract `registrar.v1`, made from protos/ by `make generate`: import its modules by their full names."""
