"""The rules of the registry: values, lifecycle, comparison. Standard library only."""
