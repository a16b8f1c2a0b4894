"""Policies, approvals, comments and checks in the database."""
