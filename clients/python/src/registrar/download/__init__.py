"""Bundles on their way from the registry.

`stream` and `direct` carry a range of a file, through the registry or straight from the store; `ranges`, `file` and `partial` keep
what has come until it is whole; `crew` fetches many ranges at once. `registrar.pull` is the whole.
"""
