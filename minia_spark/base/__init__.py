"""What every other part may use: errors, settings models, events, Arrow and ragged arrays, bags."""
