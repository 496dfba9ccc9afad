"""The images of every structure."""
