"""The built-in page and its JSON API."""
