"""Bundles on their way to the registry.

`plan` cuts what is missing into jobs, `session` talks to the registry about them, a lane (`streams`, or `direct`) carries one
job after the other, `crew` runs several lanes and goes on after whatever breaks, `engine` is the whole from the first call to
the committed bundle.
"""
