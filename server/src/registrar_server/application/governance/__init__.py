"""Policies, and what they ask for: approvals, comments and checks."""
