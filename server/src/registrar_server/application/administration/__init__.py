"""Use cases about who may do what: roles, their bindings, tokens, tenants."""
