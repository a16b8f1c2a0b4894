"""Every call of the registry, described once: the request from the arguments, the result from the reply.

`Registry` and `aio.Registry` take their methods from these functions, names, arguments and docstrings included. Nothing
here talks to a server.
"""
