"""Model cards: as documents, as texts, and what is done with them."""
