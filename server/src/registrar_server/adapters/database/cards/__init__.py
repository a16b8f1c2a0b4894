"""Model cards in the database."""
