"""How far a batch is from what the vocabulary was made of."""
