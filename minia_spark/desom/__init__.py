"""Deep embedded self-organising maps: an autoencoder trained together with a map."""
