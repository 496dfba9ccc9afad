"""The stages of the line, a module each, and what several of them do alike."""
