"""Audits apart from any server: the form of an export, and how it is verified.

`export` writes and describes the file, `verification` reads it, `merkle` computes what both are held against. None of it
knows the server's code or makes a connection: an auditor who trusts neither can read these few lines instead.
"""
